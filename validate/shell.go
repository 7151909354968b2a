package validate

import "strings"

// shellCommand is one simple command of a shell script: its words, without quotes,
// and the files that its > and >> name.
type shellCommand struct{ words, targets []string }

// shellCommands splits a script into its simple commands, in one pass and without a
// grammar: blocks, loops and substitutions come apart into commands, and what is in
// quotes is one word. That is enough to see the name of a file, and a script of any
// depth costs no more than its length.
func shellCommands(script string) []shellCommand {
	var commands []shellCommand
	var current shellCommand
	lexer := shellLexer{rest: script}
	redirected := false
	for {
		word, kind := lexer.next()
		switch {
		case kind == shellRedirect:
			redirected = true
		case kind == shellWord && redirected:
			current.targets, redirected = append(current.targets, word), false
		case kind == shellWord:
			current.words = append(current.words, word)
		case kind == shellSeparator || kind == shellEnd:
			if len(current.words)+len(current.targets) > 0 {
				commands = append(commands, current)
			}
			current, redirected = shellCommand{}, false
		}
		if kind == shellEnd {
			return commands
		}
	}
}

// shellToken is what a shellLexer finds.
type shellToken int

const (
	shellEnd       shellToken = iota
	shellWord                 // with its quotes taken off
	shellRedirect             // > >> >| &> and the like: the next word is a file
	shellSeparator            // what a command ends with: ; | & a line end, a parenthesis, a word such as then
	shellNothing              // a comment, or 2>&1, which names no file
)

// shellLexer reads a script from its front.
type shellLexer struct{ rest string }

func (l *shellLexer) next() (string, shellToken) {
	l.rest = strings.TrimLeft(l.rest, " \t\r")
	switch {
	case l.rest == "":
		return "", shellEnd
	case strings.HasPrefix(l.rest, "\\\n"):
		l.rest = l.rest[2:]
		return "", shellNothing
	case l.rest[0] == '#':
		end := strings.IndexByte(l.rest+"\n", '\n')
		l.rest = l.rest[end:]
		return "", shellNothing
	case l.redirect():
		if l.rest == "" || l.rest[0] != '&' {
			return "", shellRedirect
		}
		l.rest = l.rest[1:]
		if l.rest != "" && strings.ContainsRune("0123456789-", rune(l.rest[0])) {
			l.word()
			return "", shellNothing
		}
		return "", shellRedirect
	case strings.IndexByte(shellOperators, l.rest[0]) >= 0:
		l.rest = l.rest[1:]
		return "", shellSeparator
	}
	switch word := l.word(); word {
	case "{", "}", "!", "if", "then", "else", "elif", "fi", "do", "done", "while", "until":
		return "", shellSeparator
	default:
		return word, shellWord
	}
}

const shellOperators = ";|&\n()`<"

// redirect takes > off the front, with the number or & before it and the second > or
// the | after it.
func (l *shellLexer) redirect() bool {
	rest := l.rest
	if strings.IndexByte("&0123456789", rest[0]) >= 0 {
		rest = rest[1:]
	}
	rest, found := strings.CutPrefix(rest, ">")
	if !found {
		return false
	}
	rest = strings.TrimPrefix(rest, ">")
	l.rest = strings.TrimPrefix(rest, "|")
	return true
}

// word takes a word off the front. Between quotes everything belongs to it.
func (l *shellLexer) word() string {
	var word strings.Builder
	quote := byte(0)
	i := 0
	for ; i < len(l.rest); i++ {
		c := l.rest[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(l.rest):
			i++
			word.WriteByte(l.rest[i])
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote = c
		case c == ' ' || c == '\t' || c == '\r' || c == '>' || strings.IndexByte(shellOperators, c) >= 0:
			l.rest = l.rest[i:]
			return word.String()
		default:
			word.WriteByte(c)
		}
	}
	l.rest = ""
	return word.String()
}
