package webhook

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/portcullis-dev/portcullis/policies"
)

// The size of a large cluster.
const (
	scaleNamespaces = 10_000
	scalePolicies   = 200
)

// scaleSelectors are the ways in which a policy can be for one team of many. Team 0
// has every namespace of the requests.
func scaleSelectors() map[string]func(team int) string {
	return map[string]func(team int) string{
		"by name":  func(team int) string { return fmt.Sprintf(`"namespaces":["team-%d"]`, team) },
		"by glob":  func(team int) string { return fmt.Sprintf(`"namespaces":["team-%d","team-%d-*"]`, team, team) },
		"by label": func(team int) string { return fmt.Sprintf(`"namespaceSelector":{"matchLabels":{"team":"%d"}}`, team) },
	}
}

// scaleWebhook has the policies of teams in force, each for a team of its own, in a
// cluster with all namespaces.
func scaleWebhook(t testing.TB, selector func(team int) string, teams int) *testWebhook {
	t.Helper()
	w := newTestWebhook(t)
	var list []*policies.PodPolicy
	for team := range teams {
		text := fmt.Sprintf("apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: team-%d}\nspec: {match: {%s}, validate: {podSecurity: {level: restricted}}}\n",
			team, strings.ReplaceAll(selector(team), `":`, `": `))
		loaded, err := policies.Load([]byte(text), "policy.yaml")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, loaded...)
	}
	set, err := policies.Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	w.admission.policies = func() *policies.Set { return set }
	known := fakeNamespaces{"team-0": {"team": "0"}}
	for i := range scaleNamespaces {
		team := i % scalePolicies
		known[fmt.Sprintf("team-%d-%d", team, i)] = map[string]string{"team": fmt.Sprint(team)}
	}
	w.admission.namespaces = known
	return w
}

// scaleReviews are reviews of a good pod in namespaces of team 0.
func scaleReviews(named bool) []string {
	var bodies []string
	for i := 0; i < scaleNamespaces; i += scalePolicies {
		namespace := fmt.Sprintf("team-0-%d", i)
		if named {
			namespace = "team-0"
		}
		bodies = append(bodies, string(podReview(safeSpec, func(r *admissionv1.AdmissionRequest) { r.Namespace = namespace })))
	}
	return bodies
}

// scaleRound is the time of a review, in the mean over all bodies.
func scaleRound(t testing.TB, w *testWebhook, bodies []string) time.Duration {
	t.Helper()
	start := time.Now()
	for _, body := range bodies {
		request := httptest.NewRequest(http.MethodPost, "/x?timeout=5s", strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		w.validate.ServeHTTP(recorder, request)
		if !strings.Contains(recorder.Body.String(), `"allowed":true`) {
			t.Fatalf("got %s, want it allowed", recorder.Body)
		}
	}
	return time.Since(start) / time.Duration(len(bodies))
}

// TestScale holds that 199 policies for other teams make a review in a cluster of
// 10,000 namespaces cost no more than 1.2 times what it costs without them. The two
// take turns, and the best round of each counts: what else the machine does makes
// rounds slower and none faster.
func TestScale(t *testing.T) {
	const rounds, most = 150, 1.2
	for name, selector := range scaleSelectors() {
		t.Run(name, func(t *testing.T) {
			alone, many := scaleWebhook(t, selector, 1), scaleWebhook(t, selector, scalePolicies)
			bodies := scaleReviews(name == "by name")
			ratio, best := 0.0, [2]time.Duration{time.Hour, time.Hour}
			for try := 0; try < 3 && (try == 0 || ratio > most); try++ { // a machine may be busy for the whole of one try
				for range rounds {
					best[0] = min(best[0], scaleRound(t, alone, bodies))
					best[1] = min(best[1], scaleRound(t, many, bodies))
				}
				ratio = float64(best[1]) / float64(best[0])
			}
			t.Logf("a review takes %s with 1 policy, %s with %d: %.2f times", best[0], best[1], scalePolicies, ratio)
			if ratio > most {
				t.Errorf("got %.2f times the cost of one policy, want at most %.1f", ratio, most)
			}
		})
	}
}

// TestScaleMemory prints what the policies and all that is remembered about the
// namespaces cost, and bounds it.
func TestScaleMemory(t *testing.T) {
	selector := scaleSelectors()["by label"]
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	w := newTestWebhook(t)
	before := heap()
	full := scaleWebhook(t, selector, scalePolicies)
	set := full.admission.policies()
	compiled := heap()
	for name, labels := range full.admission.namespaces.(fakeNamespaces) {
		set.Matching(nil, policies.Target{Namespace: name, NamespaceLabels: labels, Kind: "Pod"})
	}
	remembered := heap()
	t.Logf("%d policies and the names and labels of %d namespaces take %d KiB, what is remembered of which policies are for which namespace %d KiB",
		scalePolicies, scaleNamespaces, (compiled-before)>>10, (remembered-compiled)>>10)
	if got := remembered - before; got > 32<<20 {
		t.Errorf("got %d MiB, want at most 32", got>>20)
	}
	runtime.KeepAlive(w)
	runtime.KeepAlive(full)
}

// BenchmarkScale is a review among the policies of 200 teams and 10,000 namespaces.
func BenchmarkScale(b *testing.B) {
	for name, selector := range scaleSelectors() {
		for _, teams := range []int{1, scalePolicies} {
			w := scaleWebhook(b, selector, teams)
			bodies := scaleReviews(name == "by name")
			b.Run(fmt.Sprintf("%s/%d", strings.ReplaceAll(name, " ", "-"), teams), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					scaleRound(b, w, bodies[i%len(bodies):i%len(bodies)+1])
				}
			})
		}
	}
}
