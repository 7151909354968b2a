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
	a := &access{tokens: who, rights: may, now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler)}
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
		{"still without", "Bearer t-bob", "GET", "/audit", nil, 403, 1, 1},
		{"with a right", "bearer t-ada", "GET", "/audit", nil, 200, 1, 1},
		{"the same, remembered", "Bearer t-ada", "GET", "/audit", nil, 200, 0, 0},
		{"not for another path", "Bearer t-ada", "GET", "/audit.json", nil, 403, 1, 1},
		{"not for another method", "Bearer t-ada", "HEAD", "/audit", nil, 403, 1, 1},
		{"a right that is gone, within a minute", "Bearer t-ada", "GET", "/audit", func() { may.allowed = nil }, 200, 0, 0},
		{"a right that is gone", "Bearer t-ada", "GET", "/audit", func() { now = now.Add(allowedFor) }, 403, 1, 1},
		{"denied by one, allowed by another", "Bearer t-ada", "GET", "/audit", func() { may.allowed, may.denied = map[string]bool{"ada get /audit": true}, true }, 403, 1, 1},
		{"no answer about the right", "Bearer t-ada", "GET", "/audit", func() { may.away = true }, 503, 1, 1},
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
	a := &access{now: time.Now}
	for i := range 10 * maxAllowed {
		a.remember([32]byte{byte(i), byte(i >> 8)})
	}
	if len(a.allowed) > maxAllowed {
		t.Errorf("got %d remembered, want at most %d", len(a.allowed), maxAllowed)
	}
}
