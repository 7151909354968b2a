package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// lists are collections by path, each of objects as JSON.
type lists struct {
	objects map[string][]string
	// errors are given once, in their order, for the pages of a path other than the
	// first one.
	expired map[string][]error
	failed  map[string]error // always, by path
	// young are objects that a path has after it was first asked for.
	young map[string][]string
	asked []string
}

func (l *lists) Page(_ context.Context, p Page) (io.ReadCloser, error) {
	l.asked = append(l.asked, strings.TrimSuffix(p.Path+" "+p.Continue, " "))
	if err := l.failed[p.Path]; err != nil {
		return nil, err
	}
	if errs := l.expired[p.Path]; p.Continue != "" && len(errs) > 0 {
		l.expired[p.Path] = errs[1:]
		return nil, errs[0]
	}
	if collection, name, ok := strings.Cut(p.Path, "/namespaces/"); ok && collection == "/api/v1" && !strings.Contains(name, "/") {
		for _, n := range l.objects["/api/v1/namespaces"] {
			if strings.Contains(n, `"name":"`+name+`"`) {
				return io.NopCloser(strings.NewReader(n)), nil
			}
		}
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, name)
	}
	path := p.Path
	if version, rest, ok := strings.Cut(path, "/namespaces/"); ok {
		_, resource, _ := strings.Cut(rest, "/")
		path = version + "/" + resource
	}
	if p.Fields != "" {
		l.asked[len(l.asked)-1] += " " + p.Fields
	}
	var all []string
	for _, o := range l.objects[path] {
		h, err := readHeader(jsontext.Value(o))
		if p.Fields == "" || err == nil && p.Fields == "metadata.name="+h.Metadata.Name {
			all = append(all, o)
		}
	}
	l.objects[path] = append(l.objects[path], l.young[path]...)
	delete(l.young, path)
	begin, _ := strconv.Atoi(p.Continue)
	end := min(len(all), begin+p.Limit)
	next := ""
	if end < len(all) {
		next = strconv.Itoa(end)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":%q},"items":[%s]}`, next, strings.Join(all[begin:end], ","))
	return io.NopCloser(&b), nil
}

func expired(token string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired, ListMeta: metav1.ListMeta{Continue: token},
	}}
}

func TestListRestarts(t *testing.T) {
	var many []string
	for i := range 2*pageSize + 10 {
		many = append(many, strconv.Itoa(i))
	}
	broken := errors.New("broken")
	for _, test := range []struct {
		name   string
		errors []error
		begun  int
		seen   int // 0: all
		asked  []string
		err    error
	}{
		{name: "no error", begun: 1, asked: []string{"/l", "/l 500", "/l 1000"}},
		{name: "expired, and a token to go on with", errors: []error{expired("510")}, begun: 1, seen: pageSize + 500, asked: []string{"/l", "/l 500", "/l 510"}},
		{name: "expired without a token", errors: []error{expired("")}, begun: 2, asked: []string{"/l", "/l 500", "/l", "/l 500", "/l 1000"}},
		{name: "another error", errors: []error{broken}, begun: 1, asked: []string{"/l", "/l 500"}, err: broken},
		{name: "expired for ever", errors: []error{expired(""), expired(""), expired(""), expired("")}, begun: 4, asked: []string{"/l", "/l 500", "/l", "/l 500", "/l", "/l 500", "/l", "/l 500"}, err: expired("")},
	} {
		t.Run(test.name, func(t *testing.T) {
			pager := &lists{objects: map[string][]string{"/l": many}, expired: map[string][]error{"/l": test.errors}}
			begun, seen := 0, 0
			err := list(t.Context(), pager, Page{Path: "/l"}, func() collector {
				begun++
				seen = 0
				return func(jsontext.Value) error { seen++; return nil }
			})
			if fmt.Sprint(err) != fmt.Sprint(test.err) || begun != test.begun {
				t.Errorf("got error %v after %d starts, want %v after %d", err, begun, test.err, test.begun)
			}
			if diff := cmp.Diff(test.asked, pager.asked); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			want := test.seen
			if want == 0 {
				want = len(many)
			}
			if err == nil && seen != want {
				t.Errorf("got %d objects, want %d", seen, want)
			}
		})
	}
}

func TestReadPage(t *testing.T) {
	for _, test := range []struct{ name, body, err string }{
		{name: "no items", body: `{"kind":"PodList","items":null,"metadata":{}}`},
		{name: "a status", body: `[]`, err: "reading /l: got [, want a list of objects"},
		{name: "cut off", body: `{"items":[{"a":1},`, err: "reading /l: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			pager := pagerFunc(func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(test.body)), nil })
			_, err := readPage(t.Context(), pager, Page{Path: "/l"}, func(jsontext.Value) error { return nil })
			if (err == nil) != (test.err == "") || err != nil && !strings.HasPrefix(err.Error(), test.err) {
				t.Errorf("got %v, want %q", err, test.err)
			}
		})
	}
}

type pagerFunc func() (io.ReadCloser, error)

func (f pagerFunc) Page(context.Context, Page) (io.ReadCloser, error) { return f() }

// object is one as an API server writes it.
func object(t testing.TB, fields map[string]any) string {
	t.Helper()
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
