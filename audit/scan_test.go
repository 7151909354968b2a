package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/report"
)

// imageJudge finds fault with images whose name has the word bad: one finding for
// each container.
type imageJudge struct {
	version string
	// digests are what tags stand for; nil: no registry is asked.
	digests map[string]string
	rules   Rules
	// excepting are the exceptions of workloads by their names.
	excepting map[string]string
	// lapsed are policies with an exception for a workload that has ended.
	lapsed map[string]string
	// readsObject has it note the object with what it judges.
	readsObject bool

	mutex  sync.Mutex
	judged []string
}

func (j *imageJudge) Version() string { return j.version }

func (j *imageJudge) Rules() Rules { return j.rules }

func (j *imageJudge) Excepting(_ string, w *pod.Workload) []string {
	if name := j.excepting[w.DisplayName()]; name != "" {
		return []string{name}
	}
	return nil
}

func (j *imageJudge) ReadsObject(r engine.Review) bool { return j.readsObject }

func (j *imageJudge) Gather(_ context.Context, needs []image.Need, _ image.Credentials) image.Facts {
	facts := image.Facts{}
	for _, n := range needs {
		facts[n.Image] = image.Fact{Image: n.Image, Digest: j.digests[n.Image]}
	}
	return facts
}

func (j *imageJudge) Judge(ctx context.Context, r engine.Review) Judgement {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	w := r.Workload
	line := w.Kind.Name + " " + w.DisplayName()
	if r.Request.Object != nil {
		line += " " + string(r.Request.Object)
	}
	j.judged = append(j.judged, line)
	out := Judgement{Matched: true, Passed: 1}
	if policy := j.lapsed[w.DisplayName()]; policy != "" {
		out.Lapsed = []string{policy}
	}
	if name := j.excepting[w.DisplayName()]; name != "" {
		use := report.ExceptionUse{Exemption: report.Exemption{Exception: name, ExpiresAt: "2026-12-31T23:59:59Z"}, Objects: 1}
		for i := range w.Images() {
			if strings.Contains(*i.Reference, "bad") {
				use.Needed = 1
			}
		}
		out.Exceptions = append(out.Exceptions, use)
	}
	for i := range w.Images() {
		if strings.Contains(*i.Reference, "panic") {
			panic("no such case")
		}
		if j.digests != nil {
			out.Needs = append(out.Needs, image.Need{Image: *i.Reference, Digest: true})
		}
		if strings.Contains(*i.Reference, "bad") {
			out.Findings = append(out.Findings, report.Result{
				Policy: "p", Rule: "images", Mode: "Enforce", Result: report.Fail, Container: i.Name, Field: i.Path().String(), Value: *i.Reference,
			})
		}
	}
	out.Facts = j.Gather(ctx, out.Needs, out.Credentials)
	return out
}

// take returns what was judged since the last call.
func (j *imageJudge) take() []string {
	all := j.judged
	j.judged = nil
	slices.Sort(all)
	return all
}

// made is an object in namespace shop. Its UID is its kind and name unless it is given.
type made struct {
	uid                      string
	kind, name, owner, image string
	replicas                 *int32
	phase                    corev1.PodPhase
	version                  int
	created                  string
	more                     map[string]any // of the pod spec
}

func (m made) json(t testing.TB) (path, text string) {
	t.Helper()
	uid := m.uid
	if uid == "" {
		uid = m.kind + "/" + m.name
	}
	meta := map[string]any{"name": m.name, "namespace": "shop", "uid": uid, "resourceVersion": fmt.Sprint(m.version)}
	if m.created != "" {
		meta["creationTimestamp"] = m.created
	}
	if m.owner != "" {
		kind, name, _ := strings.Cut(m.owner, "/")
		group := map[string]string{"Pod": "v1", "Job": "batch/v1", "CronJob": "batch/v1", "Database": "example.com/v1"}[kind]
		if group == "" {
			group = "apps/v1"
		}
		meta["ownerReferences"] = []map[string]any{{"apiVersion": group, "kind": kind, "name": name, "uid": m.owner, "controller": true}}
	}
	podSpec := map[string]any{"containers": []map[string]any{{"name": "main", "image": m.image}}}
	for key, value := range m.more {
		podSpec[key] = value
	}
	template := map[string]any{"metadata": map[string]any{}, "spec": podSpec}
	spec := map[string]any{"template": template}
	if m.replicas != nil {
		spec["replicas"] = *m.replicas
	}
	switch m.kind {
	case "Pod":
		spec = podSpec
	case "CronJob":
		spec = map[string]any{"jobTemplate": map[string]any{"spec": spec}}
	}
	o := map[string]any{"metadata": meta, "spec": spec, "status": map[string]any{"phase": m.phase}}
	path = map[string]string{"Pod": "/api/v1/pods", "Job": "/apis/batch/v1/jobs", "CronJob": "/apis/batch/v1/cronjobs"}[m.kind]
	if path == "" {
		path = "/apis/apps/v1/" + strings.ToLower(m.kind) + "s"
	}
	return path, object(t, o)
}

func clusterOf(t testing.TB, objects ...made) *lists {
	t.Helper()
	l := &lists{objects: map[string][]string{"/api/v1/namespaces": {`{"metadata":{"name":"shop","labels":{"team":"a"}}}`}}}
	for _, m := range objects {
		path, text := m.json(t)
		l.objects[path] = append(l.objects[path], text)
	}
	return l
}

// lines are the workloads of a scan, each with how many pods and findings it has.
func lines(s *Scan) []string {
	var all []string
	for _, w := range s.Workloads {
		all = append(all, fmt.Sprintf("%s %s pods=%d findings=%d", w.Kind.Name, w.Name, w.Pods, len(w.Findings)))
	}
	return all
}

func TestScanFolds(t *testing.T) {
	none := int32(0)
	for _, test := range []struct {
		name    string
		objects []made
		want    []string
	}{
		{name: "nothing"},
		{
			name: "pods and ReplicaSets count with their Deployment",
			objects: []made{
				{kind: "Deployment", name: "web", image: "bad:1"},
				{kind: "ReplicaSet", name: "web-1", owner: "Deployment/web", image: "bad:1"},
				{kind: "Pod", name: "web-1-a", owner: "ReplicaSet/web-1", image: "bad:1", more: map[string]any{"nodeName": "n1"}},
				{kind: "Pod", name: "web-1-b", owner: "ReplicaSet/web-1", image: "bad:1", more: map[string]any{"nodeName": "n2"}},
			},
			want: []string{"Deployment web pods=2 findings=1"},
		},
		{
			name: "a former ReplicaSet whose pods still run stands alone, once it says more",
			objects: []made{
				{kind: "Deployment", name: "web", image: "good:2"},
				{kind: "ReplicaSet", name: "web-1", owner: "Deployment/web", image: "bad:1"},
				{kind: "ReplicaSet", name: "web-0", owner: "Deployment/web", image: "good:1"},
				{kind: "Pod", name: "web-1-a", owner: "ReplicaSet/web-1", image: "bad:1"},
				{kind: "Pod", name: "web-0-a", owner: "ReplicaSet/web-0", image: "good:1"},
			},
			want: []string{"Deployment web pods=1 findings=0", "ReplicaSet web-1 pods=1 findings=1"},
		},
		{
			name: "what only keeps a record is not judged",
			objects: []made{
				{kind: "Deployment", name: "web", image: "good:2"},
				{kind: "ReplicaSet", name: "web-1", owner: "Deployment/web", image: "bad:1", replicas: &none},
				{kind: "Pod", name: "web-1-a", owner: "ReplicaSet/web-1", image: "bad:1", phase: corev1.PodFailed},
			},
			want: []string{"Deployment web pods=0 findings=0"},
		},
		{
			name: "a pod that differs from its template stands alone, and its equals with it",
			objects: []made{
				{kind: "ReplicaSet", name: "web", image: "good:1"},
				{kind: "Pod", name: "web-c", owner: "ReplicaSet/web", image: "bad:1"},
				{kind: "Pod", name: "web-b", owner: "ReplicaSet/web", image: "bad:1"},
				{kind: "Pod", name: "web-a", owner: "ReplicaSet/web", image: "good:1"},
			},
			want: []string{"Pod web-b pods=2 findings=1", "ReplicaSet web pods=1 findings=0"},
		},
		{
			name: "an owner reference alone hides nothing",
			objects: []made{
				{kind: "Deployment", name: "good", image: "good:1"},
				{kind: "ReplicaSet", name: "forged", owner: "Deployment/good", image: "bad:1"},
				{kind: "Pod", name: "done", owner: "ReplicaSet/none", image: "bad:1", phase: corev1.PodSucceeded},
			},
			want: []string{"Deployment good pods=0 findings=0", "Pod done pods=1 findings=1", "ReplicaSet forged pods=0 findings=1"},
		},
		{
			name: "pods of what is not listed, and of nobody",
			objects: []made{
				{kind: "Pod", name: "db-1", owner: "Database/db", image: "bad:1"},
				{kind: "Pod", name: "db-2", owner: "Database/db", image: "bad:1"},
				{kind: "Pod", name: "a", image: "bad:1"},
				{kind: "Pod", name: "b", image: "bad:1"},
			},
			want: []string{"Pod a pods=1 findings=1", "Pod b pods=1 findings=1", "Pod db-1 pods=2 findings=1"},
		},
		{
			name: "Jobs count with their CronJob",
			objects: []made{
				{kind: "CronJob", name: "tick", image: "bad:1"},
				{kind: "Job", name: "tick-1", owner: "CronJob/tick", image: "bad:1"},
				{kind: "Pod", name: "tick-1-x", owner: "Job/tick-1", image: "bad:1"},
			},
			want: []string{"CronJob tick pods=1 findings=1"},
		},
		{
			name: "a container that somebody injects",
			objects: []made{
				{kind: "ReplicaSet", name: "web", image: "bad:1"},
				{kind: "Pod", name: "web-a", owner: "ReplicaSet/web", image: "bad:1", more: map[string]any{
					"containers": []map[string]any{{"name": "proxy", "image": "good:1"}, {"name": "main", "image": "bad:1"}},
				}},
				{kind: "Pod", name: "web-b", owner: "ReplicaSet/web", image: "bad:1", more: map[string]any{
					"ephemeralContainers": []map[string]any{{"name": "debug", "image": "bad:2"}},
				}},
			},
			want: []string{"Pod web-b pods=1 findings=2", "ReplicaSet web pods=1 findings=1"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &Scanner{Pager: clusterOf(t, test.objects...), Judge: &imageJudge{}}
			scan, err := s.Scan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, lines(scan)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if scan.Problems != nil || scan.Objects != len(test.objects) {
				t.Errorf("got %d objects, problems %v, want %d and none", scan.Objects, scan.Problems, len(test.objects))
			}
		})
	}
}

// TestScanIsIncremental requires that a scan judges what has changed, and nothing
// else.
func TestScanIsIncremental(t *testing.T) {
	judge := &imageJudge{version: "1", digests: map[string]string{}}
	web := made{kind: "Deployment", name: "web", image: "web:1"}
	db := made{kind: "StatefulSet", name: "db", image: "db:1"}
	pods := []made{
		{kind: "Pod", name: "web-a", owner: "Deployment/web", image: "web:1"},
		{kind: "Pod", name: "web-b", owner: "Deployment/web", image: "web:1"},
	}
	cluster := clusterOf(t, append(pods, web, db)...)
	s := &Scanner{Pager: cluster, Judge: judge}
	scan := func(what string, want ...string) {
		t.Helper()
		found, err := s.Scan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, judge.take()); diff != "" {
			t.Errorf("%s: judged (-want +got):\n%s", what, diff)
		}
		if found.Judged != len(want) || len(found.Workloads) != 2 {
			t.Errorf("%s: got %d judged, %d workloads, want %d and 2", what, found.Judged, len(found.Workloads), len(want))
		}
	}
	all := []string{"Deployment web", "Pod web-a", "StatefulSet db"}
	scan("first", all...)
	scan("nothing changed")
	web.version++
	s.Pager = clusterOf(t, append(pods, web, db)...)
	scan("a status changed")
	web.version++
	web.image = "web:2"
	s.Pager = clusterOf(t, append(pods, web, db)...)
	scan("a template changed", "Deployment web")
	judge.digests["db:1"] = "sha256:new"
	scan("a tag moved", "StatefulSet db")
	judge.version = "2"
	scan("a policy changed", all...)
	changed := clusterOf(t, append(pods, web, db)...)
	changed.objects["/api/v1/namespaces"] = []string{`{"metadata":{"name":"shop","labels":{"team":"b"}}}`}
	s.Pager = changed
	scan("labels of the namespace changed", all...)
	if len(s.judged) != 3 || len(s.seen) != 4 {
		t.Errorf("got %d judgements of %d objects in memory, want 3 of 4: what is gone is forgotten", len(s.judged), len(s.seen))
	}
}

// TestScanReadsObjects has rules look at whole objects: equal templates are then not
// enough, a status still changes nothing, and the replicas of one owner have one case.
func TestScanReadsObjects(t *testing.T) {
	judge := &imageJudge{readsObject: true}
	objects := []made{
		{kind: "Deployment", name: "web", image: "web:1"},
		{kind: "Deployment", name: "shop", image: "web:1"},
		{kind: "ReplicaSet", name: "web-1", owner: "Deployment/web", image: "web:1"},
		{kind: "Pod", name: "web-1-a", owner: "ReplicaSet/web-1", image: "web:1", phase: corev1.PodPending},
		{kind: "Pod", name: "web-1-b", owner: "ReplicaSet/web-1", image: "web:1", phase: corev1.PodRunning},
		{kind: "Pod", name: "x-1-a", owner: "ReplicaSet/x-1", image: "web:1"},
		{kind: "Pod", name: "alone", image: "web:1"},
	}
	s := &Scanner{Judge: judge}
	scan := func(what string, want ...string) {
		t.Helper()
		s.Pager = clusterOf(t, objects...)
		found, err := s.Scan(t.Context())
		if err != nil || len(found.Problems) > 0 {
			t.Fatalf("%s: got error %v, problems %v", what, err, found.Problems)
		}
		var got []string
		for _, line := range judge.take() {
			name, _, isWhole := strings.Cut(line, " {")
			if !isWhole {
				t.Errorf("%s: %s was judged without the object", what, line)
			}
			got = append(got, name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: judged (-want +got):\n%s", what, diff)
		}
	}
	scan("first", "Deployment shop", "Deployment web", "Pod alone", "Pod web-1-a", "Pod x-1-a", "ReplicaSet web-1")
	scan("nothing changed")
	for i := range objects {
		objects[i].version++
		objects[i].phase = corev1.PodRunning
	}
	scan("statuses changed")
	three := int32(3)
	objects[0].version, objects[0].replicas = 9, &three
	scan("a field beside the template changed", "Deployment web")
}

func TestAsApplied(t *testing.T) {
	kind, _ := pod.KindFor(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"})
	got, err := asApplied(kind, []byte(`{"metadata":{"name":"web","uid":"1","generation":2,"managedFields":[{}],"resourceVersion":"7","labels":{"a":"b"}},"spec":{"replicas":2},"status":{"replicas":1}}`))
	want := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"labels":{"a":"b"},"name":"web","uid":"1"},"spec":{"replicas":2}}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestScanProblems(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "", errors.New("no"))
	web := made{kind: "Deployment", name: "web", image: "bad:1"}
	running := made{kind: "Pod", name: "web-a", owner: "Deployment/web", image: "bad:1"}
	t.Run("a kind may not be listed", func(t *testing.T) {
		cluster := clusterOf(t, web, running)
		cluster.failed = map[string]error{"/apis/apps/v1/deployments": forbidden}
		scan, err := (&Scanner{Pager: cluster, Judge: &imageJudge{}}).Scan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"Pod web-a pods=1 findings=1"}, lines(scan)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if len(scan.Problems) != 1 || scan.Problems[0].Error() != "deployments.apps: deployments.apps is forbidden: no" {
			t.Errorf("got problems %v, want that of the Deployments", scan.Problems)
		}
	})
	t.Run("namespaces may not be listed", func(t *testing.T) {
		cluster := clusterOf(t, web)
		cluster.failed = map[string]error{"/api/v1/namespaces": forbidden}
		scan, err := (&Scanner{Pager: cluster, Judge: &imageJudge{}}).Scan(t.Context())
		if err != nil || len(scan.Workloads) != 1 || len(scan.Problems) != 1 {
			t.Errorf("got %+v, %v, want the Deployment and a problem", scan, err)
		}
	})
	t.Run("an object that cannot be decoded", func(t *testing.T) {
		cluster := clusterOf(t, web)
		path := "/apis/apps/v1/deployments"
		cluster.objects[path] = append(cluster.objects[path], `{"metadata":{"name":"odd","namespace":"shop","uid":"odd"},"spec":{"template":{"spec":{"containers":7}}}}`)
		scan, err := (&Scanner{Pager: cluster, Judge: &imageJudge{}}).Scan(t.Context())
		if err != nil || len(scan.Workloads) != 1 || len(scan.Problems) != 1 || !strings.HasPrefix(scan.Problems[0].Error(), `Deployment "odd" in namespace "shop": `) {
			t.Errorf("got %+v, %v, want the other Deployment and a problem with the odd one", scan, err)
		}
	})
	t.Run("a defect", func(t *testing.T) {
		judge := &imageJudge{}
		s := &Scanner{Pager: clusterOf(t, web, made{kind: "Pod", name: "odd", image: "panic"}), Judge: judge}
		for range 2 {
			scan, err := s.Scan(t.Context())
			if err != nil || len(scan.Problems) != 1 || scan.Problems[0].Error() != `Pod "odd" in namespace "shop": judging it failed by a defect of Portcullis: no such case` {
				t.Fatalf("got %+v, %v, want a problem with the Pod", scan, err)
			}
		}
		if diff := cmp.Diff([]string{"Deployment web", "Pod odd", "Pod odd"}, judge.take()); diff != "" {
			t.Errorf("judged (-want +got):\n%s", diff)
		}
	})
	t.Run("the problems are too many", func(t *testing.T) {
		cluster := clusterOf(t)
		for i := range maxProblems + 7 {
			cluster.objects["/api/v1/pods"] = append(cluster.objects["/api/v1/pods"], fmt.Sprintf(`{"metadata":{"name":"p%d","namespace":"shop","uid":"%d"},"spec":7}`, i, i))
		}
		scan, err := (&Scanner{Pager: cluster, Judge: &imageJudge{}}).Scan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if unseen := scan.Report().Unseen; len(unseen) != maxProblems+1 || unseen[maxProblems] != "and 7 more" {
			t.Errorf("got %d, the last one %q, want a hundred and a count", len(unseen), unseen[len(unseen)-1])
		}
	})
	t.Run("the API server is away", func(t *testing.T) {
		cluster := clusterOf(t, web)
		cluster.failed = map[string]error{"/api/v1/pods": errors.New("connection refused")}
		if _, err := (&Scanner{Pager: cluster, Judge: &imageJudge{}}).Scan(t.Context()); err == nil || err.Error() != "listing pods: connection refused" {
			t.Errorf("got %v, want that nothing can be listed", err)
		}
	})
	t.Run("an unknown namespace", func(t *testing.T) {
		if _, err := (&Scanner{Pager: clusterOf(t), Judge: &imageJudge{}, Namespaces: []string{"none"}}).Scan(t.Context()); err == nil || err.Error() != `namespace "none" does not exist` {
			t.Errorf("got %v, want that there is no such namespace", err)
		}
	})
}

// TestScanResumes has a scan break off, and the next one judge what is left.
func TestScanResumes(t *testing.T) {
	pager := clusterOf(t, made{kind: "Deployment", name: "web", image: "good:1"}, made{kind: "StatefulSet", name: "db", image: "good:2"}, made{kind: "Pod", name: "a", image: "good:3"})
	judge := &imageJudge{}
	broken := &brokenPager{Pager: pager, path: "/api/v1/pods"}
	s := &Scanner{Pager: broken, Judge: judge}
	if _, err := s.Scan(t.Context()); err == nil || !strings.Contains(err.Error(), "connection reset") {
		t.Fatalf("got %v, want the scan to break off", err)
	}
	if diff := cmp.Diff([]string{"Deployment web", "StatefulSet db"}, judge.take()); diff != "" {
		t.Errorf("judged before it broke off (-want +got):\n%s", diff)
	}
	broken.path = "none"
	scan, err := s.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Pod a"}, judge.take()); diff != "" || len(scan.Workloads) != 3 {
		t.Errorf("got %d workloads, want 3; judged afterwards (-want +got):\n%s", len(scan.Workloads), diff)
	}
}

// brokenPager loses the connection when one list is asked for.
type brokenPager struct {
	Pager
	path string
}

func (b *brokenPager) Page(ctx context.Context, p Page) (io.ReadCloser, error) {
	if p.Path == b.path {
		return nil, errors.New("connection reset by peer")
	}
	return b.Pager.Page(ctx, p)
}
