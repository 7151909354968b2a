package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tokens knows the users of tokens, and rights the paths that users may read. Both
// count questions; with away they answer none.
type tokens struct {
	users map[string]string
	asked int
	away  bool
}

func (f *tokens) Create(_ context.Context, r *authenticationv1.TokenReview, _ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	f.asked++
	if f.away {
		return nil, errors.New("away")
	}
	user, known := f.users[r.Spec.Token]
	r.Status.Authenticated, r.Status.User.Username = known, user
	r.Status.User.Extra = map[string]authenticationv1.ExtraValue{"team": {"shop"}}
	return r, nil
}

type rights struct {
	allowed map[string]bool
	denied  bool
	asked   int
	away    bool
}

func (f *rights) Create(_ context.Context, r *authorizationv1.SubjectAccessReview, _ metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error) {
	f.asked++
	if f.away || r.Spec.Extra["team"][0] != "shop" || r.Spec.ResourceAttributes != nil {
		return nil, errors.New("away")
	}
	r.Status.Allowed = f.allowed[fmt.Sprintf("%s %s %s", r.Spec.User, r.Spec.NonResourceAttributes.Verb, r.Spec.NonResourceAttributes.Path)]
	r.Status.Denied = f.denied
	return r, nil
}

func TestAccess(t *testing.T) {
	who := &tokens{users: map[string]string{"t-ada": "ada", "t-bob": "bob"}}
	may := &rights{allowed: map[string]bool{"ada get /audit": true}}
	now := time.Now()
	a := &access{tokens: who, rights: may, log: slog.New(slog.DiscardHandler)}
	a.bound(func() time.Time { return now })
	shown := 0
	handler := a.protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { shown++ }))
	for _, step := range []struct {
		name, header, method, path string
		before                     func()
		status, tokens, rights     int
	}{
		{"no token", "", "GET", "/audit", nil, 401, 0, 0},
		{"another scheme", "Basic t-ada", "GET", "/audit", nil, 401, 0, 0},
		{"an empty token", "Bearer ", "GET", "/audit", nil, 401, 0, 0},
		{"a token of nobody", "Bearer x", "GET", "/audit", nil, 401, 1, 0},
		{"without a right", "Bearer t-bob", "GET", "/audit", nil, 403, 1, 1},
		{"the same, remembered", "Bearer t-bob", "GET", "/audit", nil, 403, 0, 0},
		{"not for another path", "Bearer t-bob", "GET", "/audit.json", nil, 403, 1, 1},
		{"the token of nobody, remembered for every path", "Bearer x", "GET", "/audit.json", nil, 401, 0, 0},
		{"still nobody's, later", "Bearer x", "GET", "/audit", func() { now = now.Add(refusedFor) }, 401, 1, 0},
		{"still without, later", "Bearer t-bob", "GET", "/audit", nil, 403, 1, 1},
		{"with a right", "bearer t-ada", "GET", "/audit", nil, 200, 1, 1},
		{"the same, remembered", "Bearer t-ada", "GET", "/audit", nil, 200, 0, 0},
		{"not for another path", "Bearer t-ada", "GET", "/audit.json", nil, 403, 1, 1},
		{"not for another method", "Bearer t-ada", "HEAD", "/audit", nil, 403, 1, 1},
		{"a right that is gone, within a minute", "Bearer t-ada", "GET", "/audit", func() { may.allowed = nil }, 200, 0, 0},
		{"a right that is gone", "Bearer t-ada", "GET", "/audit", func() { now = now.Add(allowedFor) }, 403, 1, 1},
		{"denied by one, allowed by another", "Bearer t-ada", "GET", "/audit", func() {
			now = now.Add(refusedFor)
			may.allowed, may.denied = map[string]bool{"ada get /audit": true}, true
		}, 403, 1, 1},
		{"no answer about the right", "Bearer t-ada", "GET", "/audit", func() { now = now.Add(refusedFor); may.away = true }, 503, 1, 1},
		{"no answer about the token", "Bearer t-ada", "GET", "/audit", func() { who.away = true }, 503, 1, 0},
	} {
		if step.before != nil {
			step.before()
		}
		who.asked, may.asked, shown = 0, 0, 0
		r, w := httptest.NewRequest(step.method, step.path, nil), httptest.NewRecorder()
		r.Header.Set("Authorization", step.header)
		handler.ServeHTTP(w, r)
		if w.Code != step.status || who.asked != step.tokens || may.asked != step.rights || shown == 1 != (step.status == 200) {
			t.Errorf("%s: got status %d after %d and %d questions, shown %d times, want %d after %d and %d", step.name, w.Code, who.asked, may.asked, shown, step.status, step.tokens, step.rights)
		}
	}
}

// TestAccessIsBounded requires that many tokens do not fill the memory.
func TestAccessIsBounded(t *testing.T) {
	a := &accessAnswers{now: time.Now}
	for i := range 10 * maxRefused {
		q := accessQuestion{token: fmt.Sprint(i)}
		a.allow(q)
		a.refuse(accessQuestion{token: fmt.Sprint(-i)}, unknownToken)
	}
	if len(a.allowed) > maxAllowed || len(a.denied) > maxRefused {
		t.Errorf("got %d and %d remembered, want at most %d and %d", len(a.allowed), len(a.denied), maxAllowed, maxRefused)
	}
}

// TestAccessFlood shows made-up tokens, each once, while somebody who was there before
// reads on. The API server is asked about some of them, and about him whenever his
// minute is over.
func TestAccessFlood(t *testing.T) {
	who := &tokens{users: map[string]string{"t-ada": "ada"}}
	may := &rights{allowed: map[string]bool{"ada get /audit": true}}
	now := time.Now()
	a := &access{tokens: who, rights: may, log: slog.New(slog.DiscardHandler)}
	a.bound(func() time.Time { return now })
	handler := a.protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ask := func(token string) *httptest.ResponseRecorder {
		r, w := httptest.NewRequest(http.MethodGet, "/audit", nil), httptest.NewRecorder()
		r.Header.Set("Authorization", "Bearer "+token)
		handler.ServeHTTP(w, r)
		return w
	}
	if got := ask("t-ada").Code; got != http.StatusOK {
		t.Fatalf("got status %d, want 200", got)
	}
	const seconds, each = 120, 100
	got := map[int]int{}
	for i := range seconds * each {
		now = now.Add(time.Second / each)
		w := ask(fmt.Sprintf("junk-%d", i))
		got[w.Code]++
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") != "1" {
			t.Fatalf("got header %v, want Retry-After: 1", w.Header())
		}
		if i%each != 0 {
			continue
		}
		if w := ask("t-ada"); w.Code != http.StatusOK {
			t.Fatalf("got status %d for who is known, after %d seconds of the flood, want 200", w.Code, i/each)
		}
	}
	t.Logf("statuses of made-up tokens: %v, questions: %d", got, who.asked)
	if most := seconds*strangers + strangersAtOnce + seconds/60 + 1; who.asked > most || who.asked < most/2 {
		t.Errorf("got %d questions about %d tokens in %d seconds, want at most %d, and not much less", who.asked, seconds*each, seconds, most)
	}
	if got[http.StatusUnauthorized]+got[http.StatusTooManyRequests] != seconds*each {
		t.Errorf("got statuses %v, want 401 and 429 alone", got)
	}
	// Questions about strangers that hang take none of the room for others.
	if !a.strangers.TryAcquire(askedAtOnce) {
		t.Fatal("got room taken while nobody asks")
	}
	now = now.Add(2 * allowedFor)
	if got := ask("stranger").Code; got != http.StatusTooManyRequests {
		t.Errorf("got status %d while the room for strangers is taken, want 429", got)
	}
	if got := ask("t-ada").Code; got != http.StatusOK {
		t.Errorf("got status %d for who is known, while the room for strangers is taken, want 200", got)
	}
}
