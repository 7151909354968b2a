// Package input reads manifests as people keep them: files, folders, standard
// input, lists, kustomize folders and Helm charts.
//
// Without it each command would have its own idea of what is in a folder, and
// what one of them does not see is not judged: the second document of a file,
// an item of a List, a file that cannot be read. Here what cannot be judged is
// a Problem with its place, never nothing, and the rest is read on.
package input
