package image

import (
	"testing"
)

func TestLRU(t *testing.T) {
	c := newLRU[string, int](80)
	for i, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		c.put(key, i, 10)
	}
	c.get("a")
	c.put("i", 8, 10) // pushes out b, which was used longest ago
	if _, ok := c.get("b"); ok {
		t.Error("got b, want it forgotten")
	}
	if v, ok := c.get("a"); !ok || v != 0 {
		t.Errorf("got %d, %t for a, want it kept", v, ok)
	}
	c.put("huge", 9, 11)
	if _, ok := c.get("huge"); ok || c.size() != 80 {
		t.Errorf("got something of more than an eighth of the budget kept, size %d", c.size())
	}
	c.put("a", 10, 5)
	if v, _ := c.get("a"); v != 10 || c.size() != 75 {
		t.Errorf("got %d with size %d, want 10 with 75", v, c.size())
	}
	if got := c.getOrPut("a", func() int { return 11 }); got != 10 {
		t.Errorf("got %d, want what is there", got)
	}
	if got := c.getOrPut("new", func() int { return 11 }); got != 11 || c.size() != 76 {
		t.Errorf("got %d with size %d, want 11 with 76", got, c.size())
	}
}
