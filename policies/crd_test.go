package policies

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	psapi "k8s.io/pod-security-admission/api"
	pspolicy "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

func readCRD(t testing.TB) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	return readCRDOf(t, "podpolicies")
}

// readCRDOf reads the CRD of a resource.
func readCRDOf(t testing.TB, resource string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	data, err := os.ReadFile("../manifests/crds/portcullis.dev_" + resource + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(data, crd); err != nil {
		t.Fatal(err)
	}
	return crd
}

// apiServer answers as a kube-apiserver with our CRD does, with the code of the real one.
type apiServer struct {
	schema     *schema.Structural
	validation *apiextensions.CustomResourceValidation
}

func newAPIServer(t testing.TB) *apiServer {
	t.Helper()
	return newAPIServerOf(t, "podpolicies")
}

func newAPIServerOf(t testing.TB, resource string) *apiServer {
	t.Helper()
	v1 := readCRDOf(t, resource).Spec.Versions[0].Schema
	internal := &apiextensions.CustomResourceValidation{}
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v1, internal, nil); err != nil {
		t.Fatal(err)
	}
	structural, err := schema.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	return &apiServer{schema: structural, validation: internal}
}

// admit defaults the object and returns what is wrong with it.
func (s *apiServer) admit(t testing.TB, object map[string]any) field.ErrorList {
	t.Helper()
	defaulting.PruneNonNullableNullsWithoutDefaults(object, s.schema)
	defaulting.Default(object, s.schema)
	validator, _, err := validation.NewSchemaValidator(s.validation.OpenAPIV3Schema)
	if err != nil {
		t.Fatal(err)
	}
	errs := validation.ValidateCustomResource(nil, object, validator)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.schema, object)...)
	if len(errs) > 0 {
		return errs // the real one does not go on to CEL either
	}
	celErrs, _ := cel.NewValidator(s.schema, true, math.MaxInt64).Validate(t.Context(), nil, s.schema, object, nil, math.MaxInt64)
	return celErrs
}

func TestCRDIsAcceptedByTheAPIServer(t *testing.T) {
	for _, resource := range []string{"podpolicies", "policyexceptions"} {
		t.Run(resource, func(t *testing.T) { acceptCRD(t, readCRDOf(t, resource)) })
	}
}

func acceptCRD(t *testing.T, crd *apiextensionsv1.CustomResourceDefinition) {
	t.Helper()
	internal := &apiextensions.CustomResourceDefinition{}
	apiextensionsv1.SetDefaults_CustomResourceDefinition(crd)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&crd.Spec)
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, internal, nil); err != nil {
		t.Fatal(err)
	}
	internal.Status.StoredVersions = []string{Version}
	// Among other things this bounds the cost of the CEL rules.
	for _, err := range crdvalidation.ValidateCustomResourceDefinition(t.Context(), internal) {
		t.Error(err)
	}
}

func TestCRDNames(t *testing.T) {
	crd := readCRD(t)
	want := apiextensionsv1.CustomResourceDefinitionNames{
		Plural: "podpolicies", Singular: "podpolicy", ShortNames: []string{"pp"},
		Kind: Kind, ListKind: "PodPolicyList", Categories: []string{"portcullis"},
	}
	if diff := cmp.Diff(want, crd.Spec.Names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if crd.Spec.Group != Group || crd.Spec.Scope != apiextensionsv1.ClusterScoped || len(crd.Spec.Versions) != 1 || crd.Spec.Versions[0].Name != Version {
		t.Errorf("got %s %s %v, want %s, Cluster and only %s", crd.Spec.Group, crd.Spec.Scope, crd.Spec.Versions, Group, Version)
	}
	var columns []string
	for _, column := range crd.Spec.Versions[0].AdditionalPrinterColumns {
		columns = append(columns, column.Name)
	}
	if diff := cmp.Diff([]string{"Mode", "Level", "Rules", "Workloads", "Findings", "Ready", "Reason", "Age"}, columns); diff != "" {
		t.Errorf("printer columns (-want +got):\n%s", diff)
	}
}

// TestCRDFields compares the fields of the Go types with those of the CRD, both ways.
func TestCRDFields(t *testing.T) {
	compareCRDFields(t, readCRD(t), reflect.TypeFor[PodPolicySpec]())
}

func compareCRDFields(t *testing.T, crd *apiextensionsv1.CustomResourceDefinition, specType reflect.Type) {
	t.Helper()
	root := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	var compare func(path string, typ reflect.Type, props *apiextensionsv1.JSONSchemaProps)
	compare = func(path string, typ reflect.Type, props *apiextensionsv1.JSONSchemaProps) {
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() == reflect.Slice {
			typ, props = typ.Elem(), props.Items.Schema
		}
		if typ.Kind() != reflect.Struct || slices.Contains([]reflect.Type{
			reflect.TypeFor[metav1.LabelSelector](), reflect.TypeFor[metav1.Duration](), reflect.TypeFor[metav1.Time](),
		}, typ) {
			return
		}
		fields := fieldsOf(typ)
		for name, fieldType := range fields {
			sub, found := props.Properties[name]
			if !found {
				t.Errorf("%s.%s is in the Go type and not in the CRD; run make generate", path, name)
				continue
			}
			if sub.Description == "" {
				t.Errorf("%s.%s has no description", path, name)
			}
			compare(path+"."+name, fieldType, &sub)
		}
		for name := range props.Properties {
			if _, found := fields[name]; !found {
				t.Errorf("%s.%s is in the CRD and not in the Go type; run make generate", path, name)
			}
		}
	}
	spec := root.Properties["spec"]
	compare("spec", specType, &spec)
}

func TestCRDEnums(t *testing.T) {
	root := readCRD(t).Spec.Versions[0].Schema.OpenAPIV3Schema
	levels := []psapi.Level{psapi.LevelPrivileged, psapi.LevelBaseline, psapi.LevelRestricted}
	tests := map[string][]string{
		"spec.mode":                                             words(Modes()),
		"spec.modeOverrides[].mode":                             words(Modes()),
		"spec.mutate.digests.mode":                              words(Modes()),
		"spec.mutate.digests.skipAnnotation":                    words(AllSkipAnnotations()),
		"spec.mutate.probes.mode":                               words(Modes()),
		"spec.mutate.probes.skipAnnotation":                     words(AllSkipAnnotations()),
		"spec.mutate.probes.sources[]":                          words(ProbeSources()),
		"spec.mutate.probes.livenessSources[]":                  words(LivenessSources()),
		"spec.mutate.probes.grpcPorts":                          words(GRPCPortProbes()),
		"spec.mutate.probes.defaultCatalog":                     words(CatalogUses()),
		"spec.mutate.probes.catalog[].readiness.httpGet.scheme": words(ProbeSchemes()),
		"spec.validate.probes.mode":                             words(Modes()),
		"spec.validate.probes.require[]":                        words(ProbeKinds()),
		"spec.mutate.logging.mode":                              words(Modes()),
		"spec.mutate.logging.skipAnnotation":                    words(AllSkipAnnotations()),
		"spec.mutate.logging.defaultCatalog":                    words(CatalogUses()),
		"spec.mutate.logging.format":                            words(LogFormats()),
		"spec.mutate.logging.envFrom":                           words(EnvFromActions()),
		"spec.mutate.logging.terminationMessagePolicy":          words(AllTerminationMessages()),
		"spec.mutate.logging.collector":                         words(LogCollectors()),
		"spec.validate.logging.mode":                            words(Modes()),
		"spec.validate.logging.require[]":                       words(LoggingChecks()),
		"spec.mutate.hardening.mode":                            words(Modes()),
		"spec.mutate.hardening.skipAnnotation":                  words(AllSkipAnnotations()),
		"spec.mutate.hardening.fields[]":                        words(HardeningFields()),
		"spec.validate.expressions[].mode":                      words(Modes()),
		"spec.validate.expressions[].onError":                   words(ExpressionErrorActions()),
		"spec.validate.podSecurity.mode":                        words(Modes()),
		"spec.validate.rootUser.mode":                           words(Modes()),
		"spec.validate.digests.mode":                            words(Modes()),
		"spec.validate.registries.mode":                         words(Modes()),
		"spec.onRegistryError":                                  words(RegistryErrorActions()),
		"spec.existingViolations":                               words(AllExistingViolations()),
		"spec.validate.podSecurity.namespaceLabels":             words(AllNamespaceLabels()),
		"spec.validate.podSecurity.templates":                   words(TemplateActions()),
		"spec.match.kinds[]":                                    words(WorkloadKinds()),
		"spec.validate.podSecurity.level":                       words(levels),
		"spec.validate.podSecurity.exemptions[].checks[]":       exemptableChecks(),
	}
	for path, want := range tests {
		props := *root
		for name := range strings.SplitSeq(path, ".") {
			name, isList := strings.CutSuffix(name, "[]")
			props = props.Properties[name]
			if isList {
				props = *props.Items.Schema
			}
		}
		var got []string
		for _, value := range props.Enum {
			var text string
			if err := json.Unmarshal(value.Raw, &text); err != nil {
				t.Fatal(err)
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-Go +CRD):\n%s", path, diff)
		}
	}
}

// exemptableChecks changes with k8s.io/pod-security-admission; types_podsecurity.go must follow.
func exemptableChecks() []string {
	var ids []string
	for _, check := range pspolicy.DefaultChecks() {
		if !slices.Contains(podChecks(), string(check.ID)) {
			ids = append(ids, string(check.ID))
		}
	}
	slices.Sort(ids)
	return ids
}

func words[T ~string](values []T) []string {
	text := make([]string, len(values))
	for i, value := range values {
		text[i] = string(value)
	}
	return text
}

// TestCRDDefaults requires that the API server and Default fill in the same.
func TestCRDDefaults(t *testing.T) {
	const minimal = `{"spec":{"modeOverrides":[],"mutate":{"digests":{},"probes":{},"hardening":{},"logging":{"catalog":[{"name":"a","images":["a.io/b"],"env":[{"name":"A","value":"b"}]}]}},"validate":{"podSecurity":{"exemptions":[]},"rootUser":{},"digests":{},"registries":{"deny":["**"]},"probes":{},"logging":{}}}}`
	object := map[string]any{}
	if err := json.Unmarshal([]byte(minimal), &object); err != nil {
		t.Fatal(err)
	}
	if errs := newAPIServer(t).admit(t, object); len(errs) > 0 {
		t.Fatal(errs)
	}
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var want, got PodPolicy
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(minimal), &got); err != nil {
		t.Fatal(err)
	}
	Default(&got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-API server +Default):\n%s", diff)
	}
}
