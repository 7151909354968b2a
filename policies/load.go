package policies

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxSource is the size of the largest file that is read. The API server takes a policy of 1.5 MB at most, and a policy of 100 lines
// has 4 kB; what is larger is not a policy file, or one that wants to cost memory.
const maxSource = 1 << 20

// Load reads the policies in data: YAML or JSON, any number of documents. It is strict: unknown and repeated fields, wrong types and empty
// sections are errors, since each of them switches off a rule that somebody meant. The policies come back with their defaults and are valid.
//
// The source is the file's name, for messages. The error is [Problems]: everything that is wrong in any document, with its line and field.
// Documents of other kinds are an error, empty ones are skipped, and data without any policy is an error.
func Load(data []byte, source string) ([]*PodPolicy, error) {
	l := &loader{}
	l.read(data, source)
	return l.result()
}

// LoadFiles reads the policies of files and folders, in the order given; in a folder *.yaml, *.yml and *.json by name, and no
// folder below it, so that what is in force can be seen with ls. It is as strict as [Load], and all files' problems come in one error.
func LoadFiles(paths ...string) ([]*PodPolicy, error) {
	l := &loader{}
	for _, path := range paths {
		files, err := filesAt(path)
		if err != nil {
			l.refuse(path, err)
		}
		for _, file := range files {
			data, err := readFile(file)
			if err != nil {
				l.refuse(file, err)
				continue
			}
			l.read(data, file)
		}
	}
	if len(paths) == 0 {
		l.problems = append(l.problems, Problem{Message: "no policy file is given"})
	}
	return l.result()
}

// loader gathers policies and problems over all documents of all files.
type loader struct {
	policies []*PodPolicy
	named    map[string]Problem // by policy name, the place where it was first
	problems Problems
}

func (l *loader) result() ([]*PodPolicy, error) {
	if err := l.problems.Err(); err != nil {
		return nil, err
	}
	return l.policies, nil
}

func (l *loader) refuse(source string, err error) {
	l.problems = append(l.problems, Problem{Source: source, Message: err.Error()})
}

func (l *loader) read(data []byte, source string) {
	if len(data) > maxSource {
		l.refuse(source, fmt.Errorf("is larger than %d bytes", maxSource))
		return
	}
	empty := true
	for i, part := range splitDocuments(data) {
		if len(l.problems) >= maxProblems {
			l.refuse(source, fmt.Errorf("is read no further than document %d: there are too many problems", i))
			return
		}
		doc := &document{source: source, number: i + 1, offset: part.line}
		policy := doc.decode(part.text)
		empty = empty && policy == nil && len(doc.problems) == 0
		if policy != nil {
			l.add(policy, doc)
		}
		doc.problems.sortByLine()
		l.problems = append(l.problems, doc.problems...)
	}
	if empty {
		l.refuse(source, fmt.Errorf("holds no policy; want documents with apiVersion %s and kind %s", GroupVersion(), Kind))
	}
}

// add validates a policy and puts each problem on its line. A problem that follows from one of reading is left out: under a misspelt section
// "no rule is switched on" is true and of no help.
func (l *loader) add(p *PodPolicy, doc *document) {
	Default(p)
	reading := doc.problems
	for _, problem := range Validate(p) {
		within := func(r Problem) bool { return r.Field == problem.Field || strings.HasPrefix(r.Field, problem.Field+".") }
		if !slices.ContainsFunc(reading, within) {
			doc.refuse(problem.Field, problem.Message)
		}
	}
	if first, taken := l.named[p.Name]; taken {
		doc.refuse("metadata.name", fmt.Sprintf("%s is the name of another policy too (%s, document %d)", quote(p.Name), first.Source, first.Document))
	}
	if l.named == nil {
		l.named = map[string]Problem{}
	}
	if p.Name != "" {
		l.named[p.Name] = Problem{Source: doc.source, Document: doc.number}
	}
	l.policies = append(l.policies, p)
}

// part is the text of one document, or of several without a --- between them.
type part struct {
	text string
	line int // lines of the source before text
}

// splitDocuments splits at lines that begin with ---, which no document can contain (YAML 1.2.2, 9.1.2), so that a syntax error in one document
// does not hide the problems of the next.
func splitDocuments(data []byte) []part {
	text := string(data)
	if json.Valid(data) {
		// YAML takes JSON but for tabs; in valid JSON they are always white space.
		return []part{{text: strings.ReplaceAll(text, "\t", " ")}}
	}
	var parts []part
	var current strings.Builder
	start, number, begun := 0, 0, false
	for line := range strings.Lines(text) {
		words := strings.TrimSpace(line)
		marker := words == "---" && line[0] == '-' || strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "---\t")
		if marker && begun {
			parts = append(parts, part{text: current.String(), line: start})
			current.Reset()
			start = number
		}
		// Comments and directives before the first --- belong to the document after it.
		begun = begun || marker || words != "" && words[0] != '#' && line[0] != '%'
		current.WriteString(line)
		number++
	}
	return append(parts, part{text: current.String(), line: start})
}

// filesAt returns path itself, or the policy files of the folder that it is.
func filesAt(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", reason(err))
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", reason(err))
	}
	var files []string
	for _, entry := range entries {
		file := filepath.Join(path, entry.Name())
		// A mounted ConfigMap holds links, so the target counts.
		info, err := os.Stat(file)
		isFile := err != nil || info.Mode().IsRegular()
		if isFile && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)) {
			files = append(files, file)
		}
	}
	if len(files) == 0 {
		return nil, errors.New("has no *.yaml, *.yml or *.json in it")
	}
	return files, nil
}

// readFile stops reading at one byte more than is allowed.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", reason(err))
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxSource+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", reason(err))
	}
	return data, nil
}

// reason drops the path from an error of package os; the message has it already.
func reason(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
