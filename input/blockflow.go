package input

// flowList reads [a, b].
func (b *block) flowList(at int) (end int, ok bool) {
	b.out = append(b.out, '[')
	at += 1 + indentOf(b.line[at+1:])
	if at < len(b.line) && b.line[at] == ']' {
		b.out = append(b.out, ']')
		return at + 1, true
	}
	for i := int32(0); at < len(b.line); i++ {
		element := b.place(place{index: i}, at)
		if at, ok = b.inline(at, true); !ok {
			return 0, false
		}
		b.places.close(element)
		var more bool
		if at, more, ok = b.separator(at, ']'); !more {
			return at, ok
		}
	}
	return 0, false
}

// flowMapping reads {a: b}.
func (b *block) flowMapping(at int) (end int, ok bool) {
	b.out = append(b.out, '{')
	at += 1 + indentOf(b.line[at+1:])
	if at < len(b.line) && b.line[at] == '}' {
		b.out = append(b.out, '}')
		return at + 1, true
	}
	first := len(b.places)
	for count := 0; at < len(b.line); count++ {
		key, rest, isKey := b.key(at)
		if !isKey || count == maxBlockKeys || b.places.has(first, key) {
			return 0, false
		}
		entry := b.place(place{key: key}, at)
		b.out = append(append(append(b.out, '"'), key...), '"', ':')
		rest += indentOf(b.line[rest:])
		if rest == len(b.line) {
			return 0, false
		}
		if at, ok = b.inline(rest, true); !ok {
			return 0, false
		}
		b.places.close(entry)
		var more bool
		if at, more, ok = b.separator(at, '}'); !more {
			return at, ok
		}
	}
	return 0, false
}

// separator reads what follows a value in a flow collection: a comma, or the end.
func (b *block) separator(at int, end byte) (next int, more, ok bool) {
	at += indentOf(b.line[at:])
	switch {
	case at == len(b.line):
		return 0, false, false
	case b.line[at] == end:
		b.out = append(b.out, end)
		return at + 1, false, true
	case b.line[at] == ',' && at+1 < len(b.line) && b.line[at+1] == ' ':
		b.out = append(b.out, ',')
		at++
		return at + indentOf(b.line[at:]), true, true
	}
	return 0, false, false
}
