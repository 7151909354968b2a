package rewrite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/pod"
)

// TestApplyMany requires of many edits at once what each of them does alone, and in
// a List of hundreds of objects within seconds.
func TestApplyMany(t *testing.T) {
	const objects = 300
	var b strings.Builder
	b.WriteString("kind: List\nitems:\n")
	var edits []pod.Edit
	for i := range objects {
		fmt.Fprintf(&b, "# the %d.\n- kind: Pod\n  spec:\n    hostPID: true # %d\n    containers:\n    - name: app\n      image: app:%d\n", i, i, i)
		if i%2 == 0 {
			b.WriteString("      securityContext: {privileged: true}\n")
		}
		spec := pod.Path{}.Child("items").Index(i).Child("spec")
		context := spec.Child("containers").Index(0).Child("securityContext")
		edits = append(edits,
			pod.Edit{Path: context.Child("privileged"), New: false},
			pod.Edit{Path: context.Child("capabilities").Child("drop"), New: []string{"ALL"}},
			pod.Edit{Path: spec.Child("hostPID"), Old: true},
			pod.Edit{Path: spec.Child("hostIPC"), Old: true}, // which is not there
			pod.Edit{Path: context.Child("capabilities").Child("drop").Index(7), New: "NONE"},
		)
	}
	text := []byte(b.String())
	begin := time.Now()
	got, refused := Apply(text, edits)
	took := time.Since(begin)
	if len(refused) != objects || refused[0].Err.Error() != "the list has 1 elements, and no element 7" {
		t.Errorf("got %d refused edits, the first %v, want one of each object", len(refused), refused[:min(1, len(refused))])
	}
	if took > 20*time.Second {
		t.Errorf("it took %s, want a few readings of the text and not one for each edit", took)
	}
	const few = 40 // alone, all of them would take too long
	head := text[:strings.Index(b.String(), "# the 40.")]
	want := head
	for _, e := range edits[:5*few] {
		if next, err := alone(want, e); err == nil {
			want = next
		}
	}
	several, _ := Apply(head, edits[:5*few])
	if diff := cmp.Diff(string(want), string(several)); diff != "" {
		t.Errorf("at once, and one by one (-one +at once):\n%s", diff)
	}
	if !strings.HasPrefix(string(got), string(several)) {
		t.Error("the many and the few differ")
	}
}
