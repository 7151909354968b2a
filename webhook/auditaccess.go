package webhook

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedauthenticationv1 "k8s.io/client-go/kubernetes/typed/authentication/v1"
	typedauthorizationv1 "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

const (
	// allowedFor is how long a yes of the API server holds: whoever loses a right has
	// the page for as long. A no is asked for again.
	allowedFor = time.Minute
	// maxAllowed bounds how many of them are remembered.
	maxAllowed = 256
	// accessTimeout bounds the questions about one request.
	accessTimeout = 10 * time.Second
)

// access has the API server say who asks for something, by a TokenReview, and whether
// they may, by a SubjectAccessReview of method and path. k8s.io/apiserver has the same
// with more around it, which would take nine MiB of memory from every command.
type access struct {
	tokens interface {
		Create(ctx context.Context, r *authenticationv1.TokenReview, o metav1.CreateOptions) (*authenticationv1.TokenReview, error)
	}
	rights interface {
		Create(ctx context.Context, r *authorizationv1.SubjectAccessReview, o metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error)
	}
	now func() time.Time
	log *slog.Logger

	mutex sync.Mutex
	// allowed are the ends of what holds, by digests of token, method and path.
	allowed map[[sha256.Size]byte]time.Time
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
	return &access{tokens: tokens.TokenReviews(), rights: rights.SubjectAccessReviews(), now: time.Now, log: log}, nil
}

// protect lets through whom the API server knows and allows.
func (a *access) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := bearer(r)
		if token == "" {
			unknown(w)
			return
		}
		verb := strings.ToLower(r.Method)
		key := sha256.Sum256([]byte(verb + "\x00" + r.URL.Path + "\x00" + token))
		if a.remembers(key) {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), accessTimeout)
		defer cancel()
		user, err := a.user(ctx, token)
		if err != nil {
			a.unanswered(w, err)
			return
		}
		if user == nil {
			unknown(w)
			return
		}
		may, err := a.may(ctx, user, verb, r.URL.Path)
		if err != nil {
			a.unanswered(w, err)
			return
		}
		if !may {
			http.Error(w, fmt.Sprintf("user %q may not %s %q; the ClusterRole portcullis-audit-reader has the right to", user.Username, verb, r.URL.Path), http.StatusForbidden)
			return
		}
		a.remember(key)
		next.ServeHTTP(w, r)
	})
}

// bearer is the token of a request, empty for none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

func unknown(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	http.Error(w, "show a token that the API server knows: Authorization: Bearer TOKEN", http.StatusUnauthorized)
}

func (a *access) unanswered(w http.ResponseWriter, err error) {
	a.log.Warn("asking the API server about a reader of the audit page", "err", err)
	http.Error(w, "the API server does not say whether you may read this", http.StatusServiceUnavailable)
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
func (a *access) may(ctx context.Context, user *authenticationv1.UserInfo, verb, path string) (bool, error) {
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for name, values := range user.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	review, err := a.rights.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: verb},
	}}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("reviewing the right of %q to %s %q: %w", user.Username, verb, path, err)
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}

func (a *access) remembers(key [sha256.Size]byte) bool {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.now().Before(a.allowed[key])
}

func (a *access) remember(key [sha256.Size]byte) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.allowed == nil || len(a.allowed) >= maxAllowed {
		a.allowed = map[[sha256.Size]byte]time.Time{} // they are asked about again
	}
	a.allowed[key] = a.now().Add(allowedFor)
}
