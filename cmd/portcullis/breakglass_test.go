package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/report"
)

const (
	glassPolicy = "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: base}\nspec: {validate: {podSecurity: {level: baseline}}, breakGlass: {groups: [oncall, sre], maxDuration: 2h}}"
	glassPod    = "apiVersion: v1\nkind: Pod\nmetadata: {name: shop, namespace: web, annotations: {portcullis.dev/break-glass: \"REASON\"}}\nspec: {hostNetwork: true, containers: [{name: a, image: x}]}\n"
)

// TestBreakGlassIsTold holds that no command passes silently what asks for it: it
// fails unless the cluster says that somebody passed it, and is told in any case.
func TestBreakGlassIsTold(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	const reason = "INC-4711: the shop is down"
	settings := &policies.CompiledBreakGlass{MaxDuration: 2 * time.Hour}
	for _, test := range []struct {
		name, policy, reason string
		glass                brokenGlass
		result               report.Outcome
		says                 string
	}{
		{name: "a file", reason: reason, result: report.Fail, says: "; break-glass: refused all the same, unless a member of oncall or sre applies it, for whom it passes for 2h0m0s"},
		{name: "a short reason", reason: "urgent", result: report.Fail, says: `; break-glass: the annotation portcullis.dev/break-glass "urgent" is too short for a reason`},
		{
			name: "open", reason: reason, glass: brokenGlass{"base": {settings.NewBrokenGlass("web", "ann", reason, now.Add(-time.Hour))}},
			result: report.Warn, says: `broken glass by "ann" until 2026-11-21T13:00:00Z, "INC-4711: the shop is down": `,
		},
		{
			name: "over", reason: reason, glass: brokenGlass{"base": {settings.NewBrokenGlass("web", "ann", reason, now.Add(-2*time.Hour))}},
			result: report.Fail, says: `broken glass by "ann" until 2026-11-21T12:00:00Z, "INC-4711: the shop is down", which is over: `,
		},
		{
			name: "open elsewhere", reason: reason, glass: brokenGlass{"base": {settings.NewBrokenGlass("shop", "ann", reason, now)}},
			result: report.Fail, says: "; break-glass: refused all the same",
		},
		{
			name: "open for one of two policies", reason: reason, policy: strings.ReplaceAll(strings.Replace(glassPolicy, "base}", "another}", 1), ", breakGlass: {groups: [oncall, sre], maxDuration: 2h}", ""),
			glass: brokenGlass{"base": {settings.NewBrokenGlass("web", "ann", reason, now)}}, result: report.Fail,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pod.yaml")
			if err := os.WriteFile(file, []byte(strings.Replace(glassPod, "REASON", test.reason, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			j := judgeBy(t, glassPolicy+"\n---\n"+test.policy)
			j.now, j.glass = now, test.glass
			c := &checker{judge: j, log: io.Discard}
			open := func() *input.Input { return input.Open(t.Context(), input.Options{Paths: []string{file}}) }
			if err := c.check(t.Context(), open()); err != nil {
				t.Fatal(err)
			}
			got := c.report.Results[0]
			if got.Result != test.result || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want %s and %q", got.Result, got.Message, test.result, test.says)
			}
			var out bytes.Buffer
			e := &explainer{judge: j, out: &out}
			e.all(t.Context(), open(), io.Discard)
			if !strings.Contains(out.String(), strings.TrimSuffix(test.says, ": ")) {
				t.Errorf("explain: got\n%s\nwant %q in it", &out, test.says)
			}
		})
	}
	open := brokenGlass{"base": {settings.NewBrokenGlass("web", "ann", reason, now)}}
	if open.version(now) == open.version(now.Add(3*time.Hour)) {
		t.Error("the scan takes what has ended for what is open")
	}
}
