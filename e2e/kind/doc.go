// Package kind is the suite on a cluster of kind: nodes, kubelets, a scheduler, a
// network, image pulls, and every controller. `make e2e` runs it.
//
// The other suites drive the built binary beside a bare API server. Without this
// one nobody would know whether the manifests that ship start a pod, whether a
// pinned reference can be pulled, or what happens to somebody's deploy while a
// replica of ours is replaced.
//
// The tests have the build tag kind, so that `make test` does not wait for a
// cluster. With the tag they need one: what they lack is an error, and no skip, but for
// draining nodes, which needs three.
package kind
