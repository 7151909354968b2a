package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedauthenticationv1 "k8s.io/client-go/kubernetes/typed/authentication/v1"
	typedauthorizationv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

const (
	// accessTimeout bounds the questions about one request.
	accessTimeout = 10 * time.Second
	// strangers is how many requests a second the API server is asked about of which it
	// has allowed none before, and strangersAtOnce how many of them in one moment:
	// whoever reaches the page can show as many tokens as he makes up.
	strangers, strangersAtOnce = 10, 20
	// askedAtOnce is how many questions about strangers are under way, and as many
	// about others.
	askedAtOnce = 4
)

// access has the API server say who asks for something, by a TokenReview, and whether
// they may, by a SubjectAccessReview of method and path. k8s.io/apiserver has the same
// with more around it, which would take nine MiB of memory from every command.
//
// Whom it has allowed before is asked about apart from strangers, so that a flood of
// these keeps nobody from the page who was there before.
type access struct {
	tokens interface {
		Create(ctx context.Context, r *authenticationv1.TokenReview, o metav1.CreateOptions) (*authenticationv1.TokenReview, error)
	}
	rights interface {
		Create(ctx context.Context, r *authorizationv1.SubjectAccessReview, o metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error)
	}
	log *slog.Logger

	answers accessAnswers
	reviews *rate.Limiter // about strangers
	// strangers and known are room for questions under way.
	strangers, known *semaphore.Weighted
}

func newAccess(m manager.Manager, log *slog.Logger) (*access, error) {
	tokens, err := typedauthenticationv1.NewForConfigAndClient(m.GetConfig(), m.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("reaching token reviews: %w", err)
	}
	rights, err := typedauthorizationv1.NewForConfigAndClient(m.GetConfig(), m.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("reaching subject access reviews: %w", err)
	}
	a := &access{tokens: tokens.TokenReviews(), rights: rights.SubjectAccessReviews(), log: log}
	a.bound(time.Now)
	return a, nil
}

// bound sets the bounds of all questions.
func (a *access) bound(now func() time.Time) {
	a.answers.now = now
	a.reviews = rate.NewLimiter(strangers, strangersAtOnce)
	a.strangers, a.known = semaphore.NewWeighted(askedAtOnce), semaphore.NewWeighted(askedAtOnce)
}

// protect lets through whom the API server knows and allows.
func (a *access) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := accessQuestion{token: bearer(r), verb: strings.ToLower(r.Method), path: r.URL.Path}
		if !a.answers.allows(q) {
			if no := a.ask(r.Context(), q); no != nil {
				no.write(w)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// ask returns nil for who is allowed.
func (a *access) ask(ctx context.Context, q accessQuestion) *refusal {
	if q.token == "" {
		return unknownToken
	}
	if no := a.answers.refused(q); no != nil {
		return no
	}
	room := a.known
	if a.answers.stranger(q) {
		room = a.strangers
		if !a.reviews.AllowN(a.answers.now(), 1) {
			return tooManyAsk
		}
	}
	if !room.TryAcquire(1) {
		return tooManyAsk
	}
	defer room.Release(1)
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	user, err := a.user(ctx, q.token)
	if err != nil {
		return a.unanswered(err)
	}
	if user == nil {
		return a.answers.refuse(q, unknownToken)
	}
	may, err := a.may(ctx, user, q)
	if err != nil {
		return a.unanswered(err)
	}
	if !may {
		return a.answers.refuse(q, &refusal{http.StatusForbidden, fmt.Sprintf("user %q may not %s %q; the ClusterRole portcullis-audit-reader has the right to", user.Username, q.verb, q.path)})
	}
	a.answers.allow(q)
	return nil
}

// bearer is the token of a request, empty for none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func (a *access) unanswered(err error) *refusal {
	a.log.Warn("asking the API server about a reader of the audit page", "err", err)
	return &refusal{http.StatusServiceUnavailable, "the API server does not say whether you may read this"}
}

// user is whose token it is, nil for nobody's.
func (a *access) user(ctx context.Context, token string) (*authenticationv1.UserInfo, error) {
	review, err := a.tokens.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("reviewing a token: %w", err)
	}
	if !review.Status.Authenticated {
		return nil, nil
	}
	return &review.Status.User, nil
}

// may reports whether a user has the right to a path that is no resource.
func (a *access) may(ctx context.Context, user *authenticationv1.UserInfo, q accessQuestion) (bool, error) {
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for name, values := range user.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	review, err := a.rights.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: q.path, Verb: q.verb},
	}}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("reviewing the right of %q to %s %q: %w", user.Username, q.verb, q.path, err)
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}
