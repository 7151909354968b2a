package policies

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func breakGlassCases() []validationCase {
	spec := func(glass string) string { return "{mutate: {digests: {}}, breakGlass: " + glass + "}" }
	anybodys := func(index int, group string) []string {
		return []string{fmt.Sprintf("spec.breakGlass.groups[%d]: %q names a group that anybody is in; name one of people who are on call", index, group)}
	}
	return []validationCase{
		{name: "break-glass", spec: spec(`{groups: [oncall, "system:masters", "https://idp.example.com/g#1"], maxDuration: 24h}`)},
		{name: "break-glass by default", spec: spec(`{groups: [oncall]}`)},
		{name: "break-glass for nobody", spec: spec(`{groups: []}`), want: []string{"spec.breakGlass.groups: is empty; name the groups whose members may pass"}},
		{name: "break-glass for everybody", spec: spec(`{groups: [oncall, "system:authenticated"]}`), want: anybodys(1, "system:authenticated")},
		{name: "break-glass for every account", spec: spec(`{groups: ["system:serviceaccounts"]}`), want: anybodys(0, "system:serviceaccounts")},
		{
			name: "break-glass by pattern and twice", spec: spec(`{groups: ["on-*", "", oncall, oncall]}`),
			want: []string{
				`spec.breakGlass.groups[0]: "on-*" is not the name of a group; write it as the API server knows it`,
				`spec.breakGlass.groups[1]: "" is not the name of a group; write it as the API server knows it`,
				`spec.breakGlass.groups[3]: "oncall" is listed twice`,
			},
		},
		{name: "break-glass for ever", spec: spec(`{groups: [oncall], maxDuration: 720h}`), want: []string{`spec.breakGlass.maxDuration: "720h" is longer than 24h; make an exception for what lasts`}},
		{name: "break-glass just too long", spec: spec(`{groups: [oncall], maxDuration: 24h0m1s}`), want: []string{`spec.breakGlass.maxDuration: "24h0m1s" is longer than 24h; make an exception for what lasts`}},
		{name: "break-glass never", spec: spec(`{groups: [oncall], maxDuration: 0s}`), want: []string{`spec.breakGlass.maxDuration: "0s" lets nobody pass; leave spec.breakGlass out instead`}},
		{
			name: "all that is wrong with break-glass", spec: spec(`{groups: ["a b"], maxDuration: 1500ms}`),
			want: []string{
				`spec.breakGlass.groups[0]: "a b" is not the name of a group; write it as the API server knows it`,
				`spec.breakGlass.maxDuration: "1.5s" has parts of a second; write whole seconds`,
			},
		},
	}
}

// TestBreakGlassWords requires that the API server refuses with the words of Validate
// what both know of.
func TestBreakGlassWords(t *testing.T) {
	server := newAPIServer(t)
	for glass, want := range map[string]string{
		`{"groups": ["system:authenticated"]}`:            "names a group that anybody is in; name one of people who are on call",
		`{"groups": ["oncall"], "maxDuration": "25h"}`:    "is longer than 24h; make an exception for what lasts",
		`{"groups": ["oncall"], "maxDuration": "0h0m0s"}`: "lets nobody pass; leave spec.breakGlass out instead",
	} {
		object := map[string]any{}
		if err := yaml.Unmarshal([]byte(head("p")+"spec: {mutate: {digests: {}}, breakGlass: "+glass+"}"), &object); err != nil {
			t.Fatal(err)
		}
		if errs := server.admit(t, object); len(errs) != 1 || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("API server: %s: got %v, want one that says %q", glass, errs, want)
		}
		if _, err := Load([]byte(head("p")+"spec: {mutate: {digests: {}}, breakGlass: "+glass+"}"), "p.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load: %s: got %v, want one that says %q", glass, err, want)
		}
	}
}

func TestReasonProblem(t *testing.T) {
	const advice = "; write one of 10 to 200 characters, such as a ticket and what is being repaired"
	const instead = "; write 10 to 200 characters, such as a ticket and what is being repaired"
	for reason, want := range map[string]string{
		"":                                 "gives no reason" + advice,
		" \t\n          ":                  "gives no reason" + advice,
		"urgent":                           `"urgent" is too short for a reason` + instead,
		"  urgent        ":                 `"  urgent        " is too short for a reason` + instead,
		"INC-4711: x":                      "",
		strings.Repeat("ü", 200):           "",
		strings.Repeat("ü", 201):           "is too long for a reason" + instead,
		strings.Repeat("x", 20) + "\xff":   "is too long for a reason" + instead,
		"\x1b[31mred is the colour\x1b[0m": "",
	} {
		if got := ReasonProblem(reason); got != want {
			t.Errorf("%q: got %q, want %q", reason, got, want)
		}
	}
}

// TestBrokenGlass has uses come and go.
func TestBrokenGlass(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 5e8, time.UTC)
	settings := &CompiledBreakGlass{Groups: []string{"oncall"}, MaxDuration: time.Hour}
	var list []BrokenGlass
	for i := range MaxBrokenGlass {
		list = AddBrokenGlass(list, settings.NewBrokenGlass("shop", "ann", fmt.Sprintf("reason %02d", i), now.Add(time.Duration(i)*time.Minute)), now)
	}
	first := list[0]
	if want := metav1.NewTime(now.Truncate(time.Second).Add(time.Hour)); !first.Until.Equal(&want) {
		t.Errorf("got until %s, want %s", first.Until, want)
	}
	another := settings.NewBrokenGlass("shop", "ann", "one more", now)
	later := AddBrokenGlass(list, another, now.Add(61*time.Minute))
	if len(later) != MaxBrokenGlass || FindBrokenGlass(later, "shop", "reason 00") != nil || FindBrokenGlass(later, "shop", "reason 01") == nil {
		t.Errorf("one has ended: got %d uses, want the others and the new one", len(later))
	}
	if diff := cmp.Diff(first, list[0]); diff != "" {
		t.Errorf("the list was changed (-before +after):\n%s", diff)
	}
	for _, place := range [][2]string{{"shop", "reason 0"}, {"shops", "reason 00"}, {"", "reason 00"}} {
		if g := FindBrokenGlass(list, place[0], place[1]); g != nil {
			t.Errorf("%v: got the use %v, want none", place, g)
		}
	}
	stricter := &CompiledBreakGlass{MaxDuration: time.Minute}
	if got, want := first.Ends(stricter), first.Since.Add(time.Minute); !got.Equal(want) {
		t.Errorf("a policy that has become stricter: got the end %s, want %s", got, want)
	}
	laxer := &CompiledBreakGlass{MaxDuration: 24 * time.Hour}
	if got := first.Ends(laxer); !got.Equal(first.Until.Time) {
		t.Errorf("a policy that has become laxer: got the end %s, want %s", got, first.Until)
	}
}

// TestBrokenGlassIsShared has somebody fill the list: others find room, and keep what
// they have.
func TestBrokenGlassIsShared(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	settings := &CompiledBreakGlass{Groups: []string{"oncall"}, MaxDuration: time.Hour}
	list := AddBrokenGlass(nil, settings.NewBrokenGlass("shop", "ann", "the first of all", now.Add(-30*time.Minute)), now)
	for i := range 10 * MaxBrokenGlass {
		list = AddBrokenGlass(list, settings.NewBrokenGlass("evil", "ann", fmt.Sprintf("a reason %03d", i), now.Add(time.Duration(i)*time.Second)), now)
	}
	list = AddBrokenGlass(list, settings.NewBrokenGlass("web", "joe", "the last of all", now), now)
	if len(list) != MaxBrokenGlass {
		t.Errorf("got %d uses, want %d", len(list), MaxBrokenGlass)
	}
	for namespace, reason := range map[string]string{"shop": "the first of all", "web": "the last of all", "evil": "a reason 319"} {
		if FindBrokenGlass(list, namespace, reason) == nil {
			t.Errorf("got no use for %q in namespace %q, want it kept", reason, namespace)
		}
	}
}
