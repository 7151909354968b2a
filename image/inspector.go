package image

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"
)

// contentsKey is whose answer about which bytes. The bytes never change, so it is good for ever.
type contentsKey struct{ digest, identity string }

// briefKey has the name too: that one registry fails says nothing about another that has the same bytes.
type briefKey struct{ name, digest, identity string }

// briefAnswer is a failure, or contents with a uid that could not be had just now. It keeps a herd from asking again.
type briefAnswer struct {
	contents *contents
	failure  *failure
	until    time.Time
}

// contents is what is inside an image. It is not modified.
type contents struct {
	platforms []Platform
	users     []user // of the platforms
	searched  bool   // uids of names were looked for in the layers
}

// user is what is behind a platform's USER.
type user struct {
	name    string       // empty if USER is a number
	layers  []descriptor // where /etc/passwd may be; only if USER is a name
	failure *failure     // why the uid is unknown
}

func (c *contents) named() bool {
	return slices.ContainsFunc(c.users, func(u user) bool { return u.name != "" })
}

// answers reports whether c says all that was asked for.
func (c *contents) answers(uid bool) bool { return c.searched || !uid || !c.named() }

// into writes the contents, or the failure to read them, into fact. Platforms are shared, unless there is an error to put in.
func (c *contents) into(fact *Fact, f *failure) {
	if f != nil {
		fact.Err = f.about(fact.Reference)
		return
	}
	fact.Platforms = c.platforms
	for i, u := range c.users {
		if u.failure == nil {
			continue
		}
		if &fact.Platforms[0] == &c.platforms[0] {
			fact.Platforms = slices.Clone(c.platforms)
		}
		fact.Platforms[i].UIDErr = u.failure.about(fact.Reference)
	}
}

// cost is about how much memory c holds.
func (c *contents) cost() int {
	if c == nil {
		return 0
	}
	n := 256
	for _, p := range c.platforms {
		n += 256 + len(p.User) + 16*len(p.ExposedPorts) + textsCost(p.Env) + textsCost(p.Entrypoint) + textsCost(p.Cmd)
		for key, value := range p.Labels {
			n += 48 + len(key) + len(value)
		}
		if p.Healthcheck != nil {
			n += 128 + textsCost(p.Healthcheck.Command)
		}
	}
	for _, u := range c.users {
		n += 64 + 160*len(u.layers)
	}
	return n
}

func textsCost(texts []string) int {
	n := 0
	for _, text := range texts {
		n += 16 + len(text)
	}
	return n
}

// knownContents looks in memory: at what this identity may know, and at what everybody may.
func (r *Registries) knownContents(q question, digest string) (*contents, *failure, bool) {
	for _, identity := range []string{q.identity, ""} {
		if c, ok := r.contents.get(contentsKey{digest, identity}); ok && c.answers(q.need.UID) {
			return c, nil, true
		}
	}
	brief, ok := r.brief.get(q.briefKey(digest))
	if ok && r.now().Before(brief.until) && (brief.failure != nil || q.need.UID) {
		return brief.contents, brief.failure, true
	}
	return nil, nil, false
}

func (q question) briefKey(digest string) briefKey { return briefKey{q.ref.Name(), digest, q.identity} }

// askContents waits for the registry, until ctx ends.
func (r *Registries) askContents(ctx context.Context, q question, digest string) (*contents, *failure) {
	if c, f, ok := r.knownContents(q, digest); ok { // by now
		return c, f
	}
	flight := strings.Join([]string{"contents", strconv.FormatBool(q.need.UID), q.ref.Name(), digest, q.identity}, " ")
	c, err := fly(ctx, &r.flights, flight, func(ctx context.Context) (*contents, error) {
		if c, f, ok := r.knownContents(q, digest); ok { // another flight has just landed
			return c, f.asError()
		}
		c, err := r.inspect(ctx, q, digest)
		if err != nil || !c.answers(q.need.UID) {
			r.brief.put(q.briefKey(digest), briefAnswer{c, asFailure(err), r.now().Add(r.believe(err))}, 256+c.cost())
		}
		return c, err
	})
	return c, asFailure(err)
}

// believe is how long a failure stands: what the bytes themselves decide, longer than what a registry does.
func (r *Registries) believe(err error) time.Duration {
	if err != nil && asFailure(err).settled() {
		return r.config.TagTTL
	}
	return negativeTTL
}

// inspect reads the manifest, the configuration of every runnable platform, and on demand the layers for /etc/passwd.
func (r *Registries) inspect(ctx context.Context, q question, digest string) (*contents, error) {
	key := contentsKey{digest, q.identity}
	c, ok := r.contents.get(key)
	if !ok {
		var err error
		if c, err = r.read(ctx, q, digest); err != nil {
			return nil, err
		}
		r.contents.put(key, c, c.cost())
	}
	if c.answers(q.need.UID) {
		return c, nil
	}
	if c = r.search(ctx, q.place, c); c.searched {
		r.contents.put(key, c, c.cost())
	}
	return c, nil
}

// read makes contents without a look into layers.
func (r *Registries) read(ctx context.Context, q question, digest string) (c *contents, err error) {
	err = r.client.reserve(ctx, q.ref.Registry(), func(m *memory) error {
		c, err = readContents(ctx, &reader{r.client, q.place, m}, digest)
		return err
	})
	return c, err
}

func readContents(ctx context.Context, rd *reader, digest string) (*contents, error) {
	top, err := rd.document(ctx, digest, maxManifest)
	if err != nil {
		return nil, err
	}
	entries := []descriptor{{Digest: digest}}
	if top.Manifests != nil {
		if entries, err = top.runnable(); err != nil {
			return nil, err
		}
	}
	files := make([]configFile, len(entries))
	images := make([]document, len(entries))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, e := range entries {
		group.Go(func() error {
			return guard(func() (err error) {
				images[i] = top
				if top.Manifests != nil {
					if images[i], err = rd.document(ctx, e.Digest, e.Size); err != nil {
						return err
					}
				}
				files[i], err = rd.configFile(ctx, images[i])
				return err
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return assemble(entries, files, images)
}

func (rd *reader) document(ctx context.Context, digest string, size int64) (doc document, err error) {
	err = rd.fetch(ctx, rd.client.manifest(digest, size), func(body []byte) error {
		doc, err = parseDocument(body)
		return err
	})
	return doc, err
}

func (rd *reader) configFile(ctx context.Context, image document) (f configFile, err error) {
	if image.Config == nil { // its entry in the index said otherwise
		return f, errNestedIndex()
	}
	err = rd.fetch(ctx, rd.client.blob(image.Config.Digest, image.Config.Size), func(body []byte) error {
		if err := json.Unmarshal(body, &f); err != nil {
			return &failure{reason: NotAnImage, err: err}
		}
		return nil
	})
	return f, err
}

func assemble(entries []descriptor, files []configFile, images []document) (*contents, error) {
	c := &contents{}
	for i, f := range files {
		p, err := f.platform(entries[i])
		if err != nil {
			return nil, err
		}
		u := user{}
		if p.UID, u.name, u.failure = parseUser(f.Config.User); u.name != "" {
			u.layers = images[i].Layers
		}
		c.platforms, c.users = append(c.platforms, p), append(c.users, u)
	}
	if len(c.platforms) == 0 {
		return nil, notAnImage("has no platform that a node can run")
	}
	return c, nil
}

// maxUser is the most bytes of a USER that are kept. A name that useradd takes has 32.
const maxUser = 64

// parseUser reads USER as container runtimes do: what is before the colon is a uid if it is a number, in any spelling that
// strconv.ParseInt takes, else a name. Nothing is root, and so is the name root. Numbers beyond 31 bits have been taken for root
// by runtimes (CVE-2024-40635). What is too long to be shown, or made to be shown as something else, is not looked up.
func parseUser(s string) (uid int64, name string, f *failure) {
	if len(s) > maxUser || strings.ContainsFunc(s, unicode.IsControl) {
		return UnknownUID, "", &failure{
			reason: InvalidUser, detail: "has a USER that is longer than 64 bytes or has control characters; set a numeric USER",
		}
	}
	name, _, _ = strings.Cut(s, ":")
	if name == "" || name == "root" {
		return 0, "", nil
	}
	uid, err := strconv.ParseInt(name, 10, 64)
	switch {
	case err == nil && uid >= 0 && uid <= math.MaxInt32:
		return uid, "", nil
	case err == nil || isRange(err):
		return UnknownUID, "", &failure{reason: InvalidUser}
	}
	return UnknownUID, name, nil
}
