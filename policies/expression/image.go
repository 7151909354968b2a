package expression

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"k8s.io/apiserver/pkg/cel/common"
)

// Image is what image(container) stands for: the reference, taken apart, and what
// the configuration of the image says.
type Image struct {
	// Reference is as written in the manifest; empty where the manifest names no
	// image, and then all else is empty too.
	Reference string `json:"reference"`
	// Name is the canonical name without tag and digest: docker.io/library/nginx.
	Name string `json:"name"`
	// Registry and Repository are the parts of Name.
	Registry   string `json:"registry"`
	Repository string `json:"repository"`
	// Tag is latest where the reference has neither tag nor digest.
	Tag string `json:"tag"`
	// Digest is that of the reference, or the one that its tag stands for.
	Digest string `json:"digest"`
	// Labels are those that every platform has with the same value.
	Labels map[string]string `json:"labels"`
	// Platforms has an entry for each platform that the image is made for.
	Platforms []Platform `json:"platforms"`
}

// Platform is the configuration of an image for one platform.
type Platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
	// User is USER as in the image; empty means root.
	User string `json:"user"`
	// UID is the uid that User stands for.
	UID    int64             `json:"uid"`
	Env    map[string]string `json:"env"`
	Labels map[string]string `json:"labels"`
}

// Images finds the facts about an image by its reference. The error says why there
// are none.
type Images func(reference string) (*Image, error)

// factsValue shows Images to CEL. It is only an argument of imageOf.
type factsValue struct {
	images Images
	// missing is why facts about an image were not there since it was last cleared.
	missing error
	known   map[string]ref.Val
}

// of takes a container, or a reference.
func (f *factsValue) of(v ref.Val) ref.Val {
	if fields, ok := v.(traits.Mapper); ok {
		image, found := fields.Find(types.String("image"))
		if !found {
			image = types.String("")
		}
		v = image
	}
	reference, ok := v.(types.String)
	if !ok {
		return types.NewErr("image() takes a container, or a reference to an image as text")
	}
	if known, ok := f.known[string(reference)]; ok {
		return known
	}
	if f.images == nil {
		f.missing = errors.New("no registry was asked")
		return types.WrapErr(f.missing)
	}
	image, err := f.images(string(reference))
	if err != nil {
		f.missing = err
		return types.WrapErr(err)
	}
	value := common.SchemalessTypedToVal(image)
	if f.known == nil {
		f.known = map[string]ref.Val{}
	}
	f.known[string(reference)] = value
	return value
}

// ConvertToNative is part of ref.Val.
func (f *factsValue) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("images cannot be converted to %s", t)
}

// ConvertToType is part of ref.Val.
func (f *factsValue) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("images cannot be converted to %s", t.TypeName())
}

// Equal is part of ref.Val.
func (f *factsValue) Equal(other ref.Val) ref.Val { return types.Bool(other == f) }

// Type is part of ref.Val.
func (f *factsValue) Type() ref.Type { return types.NewOpaqueType("images") }

// Value is part of ref.Val.
func (f *factsValue) Value() any { return f.images }
