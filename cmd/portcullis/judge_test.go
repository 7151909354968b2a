package main

import (
	"testing"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/policies"
)

// judgeBy judges by policies, and knows nothing about images and namespaces.
func judgeBy(t *testing.T, text string) *judge {
	t.Helper()
	list, err := policies.Load([]byte(text), "policies.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := policies.Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	core, err := engine.New()
	if err != nil {
		t.Fatal(err)
	}
	return &judge{engine: core, policies: set, list: list}
}
