package policystatus_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// inForce is what the status of an exception says.
type inForce struct{ status, reason, message, since, ends string }

func exceptionStatus(t *testing.T, c *suite.Cluster, exception *unstructured.Unstructured) inForce {
	t.Helper()
	if err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(exception), exception); err != nil {
		t.Fatal(err)
	}
	var s inForce
	s.ends, _, _ = unstructured.NestedString(exception.Object, "status", "endsAt")
	conditions, _, _ := unstructured.NestedSlice(exception.Object, "status", "conditions")
	for _, condition := range conditions {
		field := func(name string) string { text, _ := condition.(map[string]any)[name].(string); return text }
		s.status, s.reason, s.message, s.since = field("status"), field("reason"), field("message"), field("lastTransitionTime")
	}
	return s
}

// eventsAbout are the Events about an exception, as REASON: NOTE.
func eventsAbout(t *testing.T, c *suite.Cluster, exception *unstructured.Unstructured) []string {
	t.Helper()
	var list eventsv1.EventList
	if err := c.Client.List(t.Context(), &list, client.InNamespace(harness.SystemNamespace)); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, e := range list.Items {
		if e.Regarding.Kind == "PolicyException" && e.Regarding.UID == exception.GetUID() {
			texts = append(texts, e.Type+" "+e.Reason+": "+e.Note)
		}
	}
	return texts
}

// TestExceptionStatus goes through the life of an exception with two replicas and no
// hand that moves it: in force, about to end, ended. Each end is told by one Event.
func TestExceptionStatus(t *testing.T) {
	c := cluster.Cluster(t)
	for range 2 {
		s, err := c.Serve(t.Context(), harness.ServeOptions{Args: []string{"--exception-warning=4s"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	namespace := c.Namespace(t, nil)
	create(t, c, "excepted", fmt.Sprintf("{match: {namespaces: [%s]}, validate: {podSecurity: {level: baseline}}}", namespace))
	await(t, c, "excepted", 1) // somebody leads
	end := time.Now().Add(8 * time.Second).Truncate(time.Second)
	exception := suite.Exception{Policy: "excepted", Namespace: namespace, Expires: end}.Object(t)
	c.CreateException(t, exception)
	created := time.Now()
	until := func(reason string, by time.Time) inForce {
		t.Helper()
		var got inForce
		suite.Eventually(t, time.Until(by), func() error {
			if got = exceptionStatus(t, c, exception); got.reason != reason {
				return fmt.Errorf("got status %+v, want %s", got, reason)
			}
			return nil
		})
		return got
	}
	text := fmt.Sprintf(`ends for policy "excepted" at %s`, end.UTC().Format(time.RFC3339))
	active := until("Active", created.Add(3*time.Second))
	if active.status != "True" || active.message != "the exception is in force: "+text || active.ends != end.UTC().Format(time.RFC3339) {
		t.Errorf("got status %+v, want it in force and when it ends", active)
	}
	t.Logf("told as in force after %s", time.Since(created))
	if got := eventsAbout(t, c, exception); len(got) > 0 {
		t.Errorf("got events %q, want none so far", got)
	}
	ending := until("Ending", end.Add(-time.Second))
	if ending.status != "True" || ending.since != active.since {
		t.Errorf("got status %+v, want it in force since %s", ending, active.since)
	}
	expired := until("Expired", end.Add(3*time.Second))
	if told := time.Now(); told.Before(end) {
		t.Errorf("told as ended %s before the end", end.Sub(told))
	}
	if expired.status != "False" {
		t.Errorf("got status %+v, want it not in force", expired)
	}
	want := []string{
		`Warning ExceptionEnding: the exception ends soon, and its owner is "team-a": ` + text,
		`Warning ExceptionExpired: the exception has ended, and its owner is "team-a": ` + strings.Replace(text, "ends", "ended", 1),
	}
	suite.Eventually(t, suite.Soon, func() error {
		got := strings.Join(eventsAbout(t, c, exception), "\n")
		if !strings.Contains(got, want[0]) || !strings.Contains(got, want[1]) || strings.Count(got, "\n") != 1 {
			return fmt.Errorf("got events\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
		return nil
	})

	lines := strings.Split(kubectl(t, c, "get", "pex", "--namespace="+harness.SystemNamespace), "\n")
	if got := strings.Join(strings.Fields(lines[0]), " "); got != "NAME OWNER POLICIES EXPIRES STATE AGE" {
		t.Errorf("got columns %q, want NAME, OWNER, POLICIES, EXPIRES, STATE and AGE", lines[0])
	}
	if got := strings.Join(strings.Fields(lines[1]), " "); !strings.Contains(got, `team-a ["excepted"] `+active.ends+" Expired ") {
		t.Errorf("got %q, want owner, policy, end and Expired", got)
	}
}
