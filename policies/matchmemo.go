package policies

import (
	"maps"
	"sync"
	"sync/atomic"
)

const (
	// memoFrom is the number of policies that may match a namespace from which on it is remembered which do. For fewer, looking is as fast.
	memoFrom = 8
	// maxMemo bounds the namespaces that are remembered, some 150 bytes each. Who makes and deletes namespaces without end fills the memory
	// with those that are gone, so that all is forgotten then.
	maxMemo = 20_000
)

// namespaceMemo remembers which policies select a namespace by its name and its labels: with hundreds of policies by glob or selector, looking
// costs as much as all the rest of a review. Any number of goroutines may use it.
type namespaceMemo struct {
	known sync.Map // of namespaceEntry, by name
	count atomic.Int64
}

// namespaceEntry holds for as long as the namespace has these labels.
type namespaceEntry struct {
	labels map[string]string // the caller's, which nobody changes
	// positions are those of the policies in their set, ascending.
	positions []int32
}

// selecting are the positions of the policies that select the namespace of t.
func (m *namespaceMemo) selecting(s *Set, t Target) []int32 {
	if found, ok := m.known.Load(t.Namespace); ok {
		if entry := found.(*namespaceEntry); maps.Equal(entry.labels, t.NamespaceLabels) {
			return entry.positions
		}
	}
	entry := &namespaceEntry{labels: t.NamespaceLabels}
	for position := range s.candidates(t.Namespace) {
		if s.policies[position].scope.containsNamespace(t) {
			entry.positions = append(entry.positions, int32(position))
		}
	}
	if _, replaced := m.known.Swap(t.Namespace, entry); !replaced && m.count.Add(1) > maxMemo {
		m.known.Clear()
		m.count.Store(0)
	}
	return entry.positions
}
