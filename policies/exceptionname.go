package policies

import "strings"

// generated tells whether a workload of kind and name is one that the controllers of Kubernetes make from an owner, by the names they give. An
// owner reference would say it too, and does not count: the API server stores any that somebody writes, and a forged one would be a way into
// an exception for another workload. A name can be chosen as well, and yields no more than the owner's own name does, which in the same
// namespace can be chosen by the same people.
//
//	Deployment             ReplicaSet OWNER-HASH, Pod OWNER-HASH-RANDOM
//	CronJob                Job OWNER-MINUTES, Pod OWNER-MINUTES-RANDOM or OWNER-MINUTES-INDEX-RANDOM
//	Job                    Pod OWNER-RANDOM or OWNER-INDEX-RANDOM
//	StatefulSet            Pod OWNER-ORDINAL
//	ReplicaSet, DaemonSet,
//	ReplicationController  Pod OWNER-RANDOM
func generated(kind WorkloadKind, name workloadName, ownerKind WorkloadKind, owner string) bool {
	switch kind {
	case KindReplicaSet:
		return ownerKind == KindDeployment && follows(name.full, owner, false, hash)
	case KindJob:
		return ownerKind == KindCronJob && follows(name.full, owner, false, minutes)
	case KindPod:
		return generatedPod(name, ownerKind, owner)
	}
	return false
}

func generatedPod(name workloadName, ownerKind WorkloadKind, owner string) bool {
	base, cut := name.base, len(name.base) == longestBase
	if ownerKind == KindStatefulSet {
		return follows(name.full, owner, false, number)
	}
	base, ends := strings.CutSuffix(base, "-")
	if !ends && !cut {
		return false
	}
	switch ownerKind {
	case KindDeployment:
		return follows(base, owner, cut, hash)
	case KindReplicaSet, KindDaemonSet, KindReplicationController:
		return follows(base, owner, cut)
	case KindJob:
		return follows(base, owner, cut) || follows(base, owner, false, number)
	case KindCronJob:
		return follows(base, owner, cut, minutes) || follows(base, owner, false, minutes, number)
	}
	return false
}

// The API server makes a name from generateName: at most 58 letters of it, and 5 random ones
// (https://pkg.go.dev/k8s.io/apiserver/pkg/storage/names).
const (
	longestBase  = 58
	randomLength = 5
	// randomLetters are those of https://pkg.go.dev/k8s.io/apimachinery/pkg/util/rand, of which the hash of a pod template has up to ten.
	randomLetters = "bcdfghjklmnpqrstvwxz2456789"
	longestHash   = 10
	// cutLetters are those of a part that was cut: of a hash or a number.
	cutLetters = randomLetters + "013"
)

// workloadName is a name, and what of it was there before the API server added random letters.
type workloadName struct {
	full string // empty as long as there is only generateName
	base string // empty if the name does not end in random letters
}

func newWorkloadName(name, generateName string) workloadName {
	if name == "" {
		return workloadName{base: generateName[:min(len(generateName), longestBase)]}
	}
	split := len(name) - randomLength
	if split <= 0 || strings.Trim(name[split:], randomLetters) != "" {
		return workloadName{full: name}
	}
	return workloadName{full: name, base: name[:split]}
}

// mayFollow is a quick no for names that have nothing to do with an owner.
func (n workloadName) mayFollow(owner string) bool {
	return strings.HasPrefix(n.full, owner) || strings.HasPrefix(n.base, owner) || len(n.base) == longestBase && strings.HasPrefix(owner, n.base[:longestBase-1])
}

// namePart tells whether a controller could have written one part of a name.
type namePart func(text string) bool

func hash(text string) bool {
	return text != "" && len(text) <= longestHash && strings.Trim(text, randomLetters) == ""
}

// minutes are those since 1970, of which there are eight digits until 2160
// (https://pkg.go.dev/k8s.io/kubernetes/pkg/controller/cronjob).
func minutes(text string) bool { return len(text) >= 8 && number(text) }

func number(text string) bool {
	return text != "" && len(text) <= 10 && strings.Trim(text, "0123456789") == ""
}

// follows tells whether name is owner followed by parts, each after a dash. One that was cut may end anywhere.
func follows(name, owner string, cut bool, parts ...namePart) bool {
	rest, found := strings.CutPrefix(name, owner)
	if !found {
		return cut && strings.HasPrefix(owner, name)
	}
	for _, p := range parts {
		if rest == "" || rest == "-" {
			return cut
		}
		if rest[0] != '-' {
			return false
		}
		text, _, more := strings.Cut(rest[1:], "-")
		if !p(text) && (!cut || more || strings.Trim(text, cutLetters) != "") {
			return false
		}
		rest = rest[1+len(text):]
	}
	return rest == ""
}
