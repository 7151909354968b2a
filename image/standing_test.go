package image

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestStanding(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	first := reg.user("app", "v1", "1000")
	r := w.registries(Config{TagTTL: time.Second})
	reason := func(err error) Reason {
		failure := (*Error)(nil)
		errors.As(err, &failure)
		if failure == nil {
			return ""
		}
		return failure.Reason
	}
	gone := func(part string) {
		reg.faults = append(reg.faults, func(rw http.ResponseWriter, request *http.Request) bool {
			if !strings.HasSuffix(request.URL.Path, part) {
				return false
			}
			http.Error(rw, "gone", http.StatusNotFound)
			return true
		})
	}
	type standing struct {
		tag         string
		tagErr, err Reason
		requests    int
	}
	ask := func(image string) standing {
		before := len(reg.requests())
		s := r.Standing(t.Context(), image, Credentials{})
		return standing{s.Tag, reason(s.TagErr), reason(s.Err), len(reg.requests()) - before}
	}
	pinned := "reg.example/app:v1@" + first
	expect := func(what, image string, want standing) {
		t.Helper()
		if got := ask(image); got != want {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
		w.pass(time.Minute)
	}
	expect("as pinned", pinned, standing{tag: first, requests: 1})
	second := reg.user("app", "v1", "2000")
	expect("moved", pinned, standing{tag: second, requests: 2})
	expect("without a tag", "reg.example/app@"+first, standing{requests: 1})
	gone(first)
	expect("moved and vanished", pinned, standing{tag: second, err: NotFound, requests: 2})
	gone("/v1")
	expect("nothing left", pinned, standing{tagErr: NotFound, err: NotFound, requests: 2})
	expect("no reference", "reg.example/App@"+first, standing{err: InvalidReference})
	expect("an address that may not be dialled", "127.0.0.1/app@"+first, standing{err: RefusedAddress})
}
