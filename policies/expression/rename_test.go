package expression

import "testing"

func TestReplacePod(t *testing.T) {
	for text, want := range map[string]string{
		`pod.spec.containers.all(c, c.name != "pod")`: `v.p.spec.containers.all(c, c.name != "pod")`,
		`has(pod.metadata) &&  // ü
  pod.metadata.?name.orValue("ü") == podname`: `has(v.p.metadata) &&  // ü
  v.p.metadata.?name.orValue("ü") == podname`,
		`object.pod == 1 && variables.pod == 2 && pod == pod`: `object.pod == 1 && variables.pod == 2 && v.p == v.p`,
		`[pod].map(x, pod)`: `[v.p].map(x, v.p)`,
		`1 == 1`:            `1 == 1`,
	} {
		if got, err := ReplacePod(text, "v.p"); got != want || err != nil {
			t.Errorf("%s: got %s (%v), want %s", text, got, err, want)
		}
	}
	for _, text := range []string{`[1].all(pod, pod > 0)`, `{1: 2}.transformMap(k, pod, pod)`} {
		if got, err := ReplacePod(text, "v.p"); err == nil {
			t.Errorf("%s: got %s, want an error", text, got)
		}
	}
}
