package expression

import "sync"

// maxPrograms bounds the programs that are kept, each of some ten kilobytes: twice
// the rules of 200 policies with ten each.
const maxPrograms = 4096

// programs keeps what was compiled, by its text. The zero value is empty.
type programs struct {
	mu     sync.Mutex
	byText map[string]*Program
}

// get returns nil where there is none.
func (p *programs) get(text string) *Program {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byText[text]
}

// put forgets all others where there are too many: what is still used is compiled
// again with the next change.
func (p *programs) put(text string, program *Program) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.byText) >= maxPrograms {
		clear(p.byText)
	}
	if p.byText == nil {
		p.byText = map[string]*Program{}
	}
	p.byText[text] = program
}
