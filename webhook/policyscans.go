package webhook

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/portcullis-dev/portcullis/policies"
)

// policyScan is what a scan found by a version of a policy.
type policyScan struct {
	uid types.UID
	policies.PolicyScan
}

// scanned takes what a scan found by the policies of a set, by their names, and has
// it written into their status. What a scan found by policies that have changed
// meanwhile is left out: the next one finds it by those that are.
func (c *clusterPolicies) scanned(set int, counts map[string]policies.PolicyScan) {
	current := c.current.Load()
	if current == nil || current.version != set {
		return
	}
	scans := make(map[string]policyScan, len(current.versions))
	for name, version := range current.versions {
		if version.inForce == 0 {
			continue
		}
		scan := policyScan{version.uid, counts[name]} // zero: for no workload
		scan.Generation = version.inForce
		scans[name] = scan
	}
	c.scans.Store(&scans)
	signal(c.seen)
}

// scanOf is what the status of a policy says about scans, given what it said before:
// that of another replica's scan stays until there is one of this replica.
func (c *clusterPolicies) scanOf(name string, version policyVersion, before *policies.PolicyScan) *policies.PolicyScan {
	if version.inForce == 0 {
		return nil
	}
	scans := c.scans.Load()
	if scans == nil {
		return before
	}
	scan, ok := (*scans)[name]
	if !ok || scan.uid != version.uid {
		return before
	}
	return &scan.PolicyScan
}
