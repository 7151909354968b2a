package expression

import (
	"fmt"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"k8s.io/apimachinery/pkg/util/version"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// The names that an expression can use.
const (
	podName       = "pod"
	objectName    = "object"
	oldObjectName = "oldObject"
	requestName   = "request"
	namespaceName = "namespaceObject"
	variablesName = "variables"
	imageName     = "image"
)

// Names that no expression can write, since no identifier begins with @.
const (
	imagesName    = "@images"
	imageFunction = "@image"
)

// base is the environment that all policies share. It is made with the first
// expression, so that a command that needs none does not wait for it.
var base = sync.OnceValues(newBase)

// baseEnvironment is the environment, and what was compiled in it.
type baseEnvironment struct {
	*cel.Env
	programs programs
}

func newBase() (*baseEnvironment, error) {
	template, workload, image := templateType(), workloadType(), typeOf[Image]()
	request, namespace := requestType(), namespaceType()
	set, err := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()).Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions: []cel.EnvOption{
			cel.Variable(podName, template.CelType()),
			cel.Variable(objectName, workload.CelType()),
			cel.Variable(oldObjectName, workload.CelType()),
			cel.Variable(requestName, request.CelType()),
			cel.Variable(namespaceName, namespace.CelType()),
			cel.Variable(imagesName, cel.DynType),
			cel.Function(imageFunction, cel.Overload("portcullis_image", []*cel.Type{cel.DynType, cel.DynType},
				image.CelType(), cel.BinaryBinding(imageOf))),
			cel.Macros(cel.GlobalMacro(imageName, 1, expandImage)),
		},
		DeclTypes: []*apiservercel.DeclType{template, workload, request, namespace, image},
	})
	if err != nil {
		return nil, fmt.Errorf("making the environment of expressions: %w", err)
	}
	// What every API server knows that may run beside us is what can be exported.
	return &baseEnvironment{Env: set.NewExpressionsEnv()}, nil
}

// expandImage turns image(x) into a function of the facts of the review at hand.
func expandImage(factory cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
	return factory.NewCall(imageFunction, factory.NewIdent(imagesName), args[0]), nil
}

// imageOf finds the facts about an image: that of a container, or one by its
// reference.
func imageOf(images, of ref.Val) ref.Val {
	facts, ok := images.(*factsValue)
	if !ok {
		return types.MaybeNoSuchOverloadErr(images)
	}
	return facts.of(of)
}
