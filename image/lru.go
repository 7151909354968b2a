package image

import (
	"container/list"
	"sync"
)

// lru is a map that forgets what was least recently used when the costs of its entries exceed a budget: whatever the cluster's
// users write into image fields, memory stays bounded.
type lru[K comparable, V any] struct {
	mu     sync.Mutex
	budget int
	cost   int
	order  list.List // of entry[K, V], most recently used first
	byKey  map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
	cost  int
}

func newLRU[K comparable, V any](budget int) *lru[K, V] {
	return &lru[K, V]{budget: budget, byKey: map[K]*list.Element{}}
}

func (c *lru[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry[K, V]).value, true
}

// put keeps value; one that costs more than an eighth of the budget is not worth what it would push out.
func (c *lru[K, V]) put(key K, value V, cost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.byKey[key])
	if cost <= max(c.budget/8, 1) {
		c.insert(key, value, cost)
	}
}

// getOrPut is the value of key, made and kept at cost 1 if there is none.
func (c *lru[K, V]) getOrPut(key K, make func() V) V {
	if value, ok := c.get(key); ok {
		return value
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok {
		return e.Value.(*entry[K, V]).value
	}
	value := make()
	c.insert(key, value, 1)
	return value
}

func (c *lru[K, V]) insert(key K, value V, cost int) {
	c.byKey[key] = c.order.PushFront(&entry[K, V]{key, value, cost})
	c.cost += cost
	for c.cost > c.budget {
		c.remove(c.order.Back())
	}
}

func (c *lru[K, V]) remove(e *list.Element) {
	if e == nil {
		return
	}
	gone := c.order.Remove(e).(*entry[K, V])
	delete(c.byKey, gone.key)
	c.cost -= gone.cost
}

// size is the cost of all entries.
func (c *lru[K, V]) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cost
}

// each visits all values; it must not use c.
func (c *lru[K, V]) each(visit func(V)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.byKey {
		visit(e.Value.(*entry[K, V]).value)
	}
}
