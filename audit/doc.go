// Package audit judges what already runs in a cluster, and keeps reports about it.
//
// Admission sees only what changes. Without a scan nobody knows what was there
// before the first policy, what came in while the webhook was away, and what a
// stricter policy would break. Scans have taken clusters down, though: reports
// for each object have filled etcd (https://github.com/kyverno/kyverno/issues/8974),
// and lists of everything at once the memory of the scanner and the API server's.
// Here lists are read in pages and one object at a time, an object that has not
// changed is not judged again, and a namespace has one report of bounded size.
//
// Judging is the front end's: the scan gives it workloads in the order of the
// lists and folds what comes back, so that a finding of the scan is one of
// `portcullis check` on the same object.
package audit
