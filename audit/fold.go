package audit

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/presence"
	"github.com/portcullis-dev/portcullis/report"
	"github.com/portcullis-dev/portcullis/validate"
)

// entity is an object of the cluster, or the pods of one owner that are equal in
// all that rules look at.
type entity struct {
	kind            pod.Kind
	namespace, name string
	uid             string
	owner           metav1.OwnerReference // without a UID: none
	judged          *judged
	pods            int
	// away is the gap in which it was created, nil for none; once lists are folded
	// only where it would have been refused.
	away *presence.Gap
	// into is what accounts for the entity, nil: it stands alone.
	into *entity
}

// part is what one list has yielded so far.
type part struct {
	*scanning
	kind     pod.Kind
	entities []*entity
	groups   map[group]*entity // of pods
	objects  int
}

// group are the pods that one entity stands for.
type group struct {
	namespace, owner string
	key              key
	away             *presence.Gap
}

func newPart(c *scanning, kind pod.Kind) *part {
	return &part{scanning: c, kind: kind, groups: map[group]*entity{}}
}

// add takes one object of the list. One that cannot be decoded is a problem of its
// own, and not the end of the list.
func (p *part) add(ctx context.Context, object jsontext.Value) error {
	p.objects++
	h, err := readHeader(object)
	if err != nil {
		p.note(Problem{p.kind.Name, "", err})
		return nil
	}
	m := &h.Metadata
	labels, err := p.namespace(ctx, m.Namespace)
	if err != nil {
		return err
	}
	if p.gone[m.Namespace] || p.scanning.entities[m.UID] != nil { // the latter by a list before: another object had its name as owner
		return nil
	}
	owner := h.owner()
	if by := p.scanning.entities[string(owner.UID)]; by != nil && h.idle(p.kind) {
		p.entities = append(p.entities, &entity{kind: p.kind, uid: m.UID, owner: owner, into: by})
		return nil
	}
	j, k, err := p.judge(ctx, h, object, labels)
	if err != nil {
		p.note(Problem{fmt.Sprintf("%s %s", p.kind.Name, engine.Quote(m.Name)), m.Namespace, err})
		return nil
	}
	e := &entity{kind: p.kind, namespace: m.Namespace, name: m.Name, uid: m.UID, owner: owner, judged: j, away: p.gap(m.Created)}
	if p.kind.IsPod() {
		p.addPod(e, k)
		return nil
	}
	p.entities = append(p.entities, e)
	return nil
}

// judge has the object judged, and decodes it only where it has changed.
func (p *part) judge(ctx context.Context, h *header, object jsontext.Value, labels map[string]string) (*judged, key, error) {
	m := &h.Metadata
	around := p.around(m.Namespace, labels)
	var review *engine.Review
	decode := func() (_ *engine.Review, err error) {
		if review == nil {
			review, err = p.review(object, engine.Namespace{Name: m.Namespace, Labels: labels})
		}
		return review, err
	}
	known, ok := p.seen[m.UID]
	if !ok || known.resourceVersion != m.ResourceVersion || known.surroundings != around {
		r, err := decode()
		if err != nil {
			return nil, key{}, err
		}
		known = seen{resourceVersion: m.ResourceVersion, surroundings: around}
		on := surroundings{p.Judge.Version(), m.Namespace, labels, p.Judge.Excepting(m.Namespace, r.Workload), r.Request.Object}
		if known.key, err = keyOf(r.Workload, on); err != nil {
			return nil, key{}, err
		}
	}
	p.nextSeen[m.UID] = known
	j, err := p.judgement(ctx, known.key, decode)
	return j, known.key, err
}

// review is the creation of an object.
func (p *part) review(object jsontext.Value, in engine.Namespace) (*engine.Review, error) {
	w, err := pod.Decode(p.kind, object)
	if err != nil {
		return nil, err
	}
	pod.Default(w)
	r := &engine.Review{Workload: w, Namespace: in}
	if p.Judge.ReadsObject(*r) {
		if r.Request.Object, err = asApplied(p.kind, object); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// hashSeed makes hashes that are the same within a process.
var hashSeed = maphash.MakeSeed()

// around stands for what surrounds the objects of a namespace: the version of the
// judge, and the labels.
func (c *scanning) around(namespace string, labels map[string]string) uint64 {
	if sum, ok := c.hashes[namespace]; ok {
		return sum
	}
	var h maphash.Hash
	h.SetSeed(hashSeed)
	h.WriteString(c.Judge.Version())
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		h.WriteString("\x00" + name + "\x00" + labels[name])
	}
	c.hashes[namespace] = h.Sum64()
	return c.hashes[namespace]
}

// addPod puts a pod to its equals, of which the first by name speaks for all.
func (p *part) addPod(e *entity, k key) {
	g := group{e.namespace, string(e.owner.UID), k, e.away}
	if e.owner.UID == "" {
		g.owner = e.uid // nobody's pods are nobody's replicas
	}
	same := p.groups[g]
	if same == nil {
		e.pods = 1
		p.groups[g] = e
		p.entities = append(p.entities, e)
		return
	}
	same.pods++
	if e.name < same.name {
		same.name, same.uid = e.name, e.uid
	}
}

// commit hands over what the list has yielded.
func (p *part) commit() {
	maps.Copy(p.scanning.groups, p.groups)
	p.scan.Objects += p.objects
	for _, e := range p.entities {
		p.order = append(p.order, e)
		if !p.kind.IsPod() { // nothing owned by a pod is of these kinds
			p.scanning.entities[e.uid] = e
		}
	}
}

// fold decides what stands alone: whatever has no owner that was seen, and what
// says more than its owner. An owner reference alone leaves nothing out, since
// anybody can write one.
func (c *scanning) fold() {
	c.confirmAway()
	for _, e := range c.order {
		if e.into != nil {
			continue
		}
		owner := c.entities[string(e.owner.UID)].root()
		if owner != nil && owner != e && owner.namespace == e.namespace && (e.away == nil || owner.away != nil) && owner.covers(e) {
			e.into = owner
			owner.pods += e.pods
		}
	}
	policies := c.Judge.Rules().Policies
	for _, e := range c.order {
		if e.into == nil {
			c.scan.Workloads = append(c.scan.Workloads, Workload{
				Kind: e.kind, Namespace: e.namespace, Name: e.name, UID: e.uid, Pods: e.pods, Away: e.away, policies: policies, Judgement: &e.judged.Judgement,
			})
		}
	}
	slices.SortFunc(c.scan.Workloads, func(a, b Workload) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind.Name, b.Kind.Name), cmp.Compare(a.Name, b.Name))
	})
}

// root is what accounts for an entity, itself where it stands alone.
func (e *entity) root() *entity {
	for e != nil && e.into != nil {
		e = e.into
	}
	return e
}

// covers reports whether all that is said about another entity is said about this
// one, as severely.
func (e *entity) covers(other *entity) bool {
	if e.judged == other.judged {
		return true
	}
	var said map[string]int
	for i := range other.judged.Findings {
		f := &other.judged.Findings[i]
		if said == nil {
			said = e.findings()
		}
		if severity(f.Result) > said[identity(other.kind, f)] {
			return false
		}
	}
	return other.readier(e)
}

// readier reports whether nothing stands between the entity and a level that does
// not stand there for the owner.
func (e *entity) readier(owner *entity) bool {
	for i, mine := range e.judged.Readiness {
		if i >= len(owner.judged.Readiness) {
			return false
		}
		for _, check := range mine.Blockers {
			if !slices.Contains(owner.judged.Readiness[i].Blockers, check) {
				return false
			}
		}
	}
	return true
}

func (e *entity) findings() map[string]int {
	said := make(map[string]int, len(e.judged.Findings))
	for i := range e.judged.Findings {
		f := &e.judged.Findings[i]
		said[identity(e.kind, f)] = max(said[identity(e.kind, f)], severity(f.Result))
	}
	return said
}

// indices are places in lists, which shift where somebody adds to them.
var indices = regexp.MustCompile(`\[\d+\]`)

// identity is the same for a finding in a pod and in the template that it is of. The
// value that an expression has read is left out: of names, each has its own.
func identity(kind pod.Kind, f *report.Result) string {
	field, value := f.Field, ""
	if f.Rule != validate.ExpressionsRule {
		value = engine.Quote(f.Value)
	}
	if template := kind.Template().String(); template != "" {
		field = strings.TrimPrefix(field, template+".")
	}
	return strings.Join([]string{
		f.Policy, f.Rule, f.Check, f.Container, indices.ReplaceAllString(field, "[]"), value,
	}, "\x00")
}
