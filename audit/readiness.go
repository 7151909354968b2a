package audit

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	psapi "k8s.io/pod-security-admission/api"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/policies"
)

// Levels are the Pod Security levels that readiness is about: the ones that
// refuse something.
func Levels() []psapi.Level { return []psapi.Level{psapi.LevelBaseline, psapi.LevelRestricted} }

// Matrix judges workloads by the Pod Security levels as they are, and as
// mutate.hardening would make them. It is safe for concurrent use.
type Matrix struct {
	engine *engine.Engine
	cells  []matrixCell
}

// Gatherer finds facts about images, all at once and within the deadline.
type Gatherer interface {
	Gather(ctx context.Context, needs []image.Need, who image.Credentials) image.Facts
}

type matrixCell struct {
	level, version  string
	plain, hardened *policies.Set
}

// NewMatrix returns a Matrix for versions such as latest and v1.36.
func NewMatrix(core *engine.Engine, versions []string) (*Matrix, error) {
	m := &Matrix{engine: core}
	for _, level := range Levels() {
		for _, version := range versions {
			if _, err := psapi.ParseVersion(version); err != nil {
				return nil, fmt.Errorf("reading the Pod Security version %q: want latest or v1.N", version)
			}
			cell := matrixCell{level: string(level), version: version}
			var err error
			if cell.plain, err = levelSet(level, version, nil); err != nil {
				return nil, err
			}
			if cell.hardened, err = levelSet(level, version, &policies.Hardening{}); err != nil {
				return nil, err
			}
			m.cells = append(m.cells, cell)
		}
	}
	return m, nil
}

func levelSet(level psapi.Level, version string, hardening *policies.Hardening) (*policies.Set, error) {
	p := &policies.PodPolicy{ObjectMeta: metav1.ObjectMeta{Name: "readiness"}}
	p.Spec.Mutate.Hardening = hardening
	p.Spec.Validate.PodSecurity = &policies.PodSecurity{Level: level, Version: version, NamespaceLabels: policies.NamespaceLabelsIgnore}
	set, err := policies.Compile([]*policies.PodPolicy{p})
	if err != nil {
		return nil, fmt.Errorf("compiling level %s, version %s: %w", level, version, err)
	}
	return set, nil
}

// Judge says what stands between the workload of a review and each level. The
// workload stays as it is. With nil images no registry is asked, and hardening does
// what the manifest alone makes safe.
func (m *Matrix) Judge(ctx context.Context, r engine.Review, images Gatherer) []Readiness {
	all := make([]Readiness, 0, len(m.cells))
	for _, cell := range m.cells {
		one := Readiness{Level: cell.level, Version: cell.version}
		one.Blockers = blockers(m.engine.Plan(r, cell.plain).Validate(nil))
		if len(one.Blockers) > 0 {
			hardened := r
			hardened.Workload = r.Workload.DeepCopy()
			plan := m.engine.Plan(hardened, cell.hardened)
			var facts image.Facts
			if images != nil {
				facts = images.Gather(ctx, plan.MutationNeeds(), credentials(r))
			}
			plan.Mutate(facts)
			one.Left = blockers(plan.Validate(facts))
		}
		all = append(all, one)
	}
	return all
}

// blockers are the different checks of Pod Security among findings, sorted.
func blockers(v engine.Verdict) []string {
	var checks []string
	for i := range v.Findings {
		if !slices.Contains(checks, v.Findings[i].Check) {
			checks = append(checks, v.Findings[i].Check)
		}
	}
	slices.Sort(checks)
	return checks
}

// credentials are the pull secrets that a workload's pods use.
func credentials(r engine.Review) image.Credentials {
	who := image.Credentials{Namespace: r.Namespace.Name, ServiceAccount: r.Workload.Spec.ServiceAccountName}
	for _, s := range r.Workload.Spec.ImagePullSecrets {
		who.PullSecrets = append(who.PullSecrets, s.Name)
	}
	return who
}
