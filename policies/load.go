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

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	l := &loader{kinds: []string{Kind}}
	l.read(data, source)
	return l.result()
}

// LoadFiles reads the policies of files and folders, in the order given; in a folder *.yaml, *.yml and *.json by name, and no
// folder below it, so that what is in force can be seen with ls. It is as strict as [Load], and all files' problems come in one error.
func LoadFiles(paths ...string) ([]*PodPolicy, error) {
	l := &loader{kinds: []string{Kind}}
	l.files(paths)
	return l.result()
}

// LoadAll reads policies and the exceptions from them, as [LoadFiles] reads policies: any mix of both kinds in the files. Exceptions are held
// against the terms, in which the policies of the files are added to those in force.
func LoadAll(terms ExceptionTerms, paths ...string) ([]*PodPolicy, []*PolicyException, error) {
	l := &loader{kinds: []string{Kind, ExceptionKind}}
	l.files(paths)
	l.checkTerms(terms)
	list, err := l.result()
	if err != nil {
		return nil, nil, err
	}
	return list, l.exceptionList(), nil
}

// LoadUnchecked reads policies and exceptions of files and folders as [LoadAll] does, and holds the exceptions against no terms: for who only
// tells of them.
func LoadUnchecked(paths ...string) ([]*PodPolicy, []*PolicyException, error) {
	l := &loader{kinds: []string{Kind, ExceptionKind}}
	l.files(paths)
	list, err := l.result()
	if err != nil {
		return nil, nil, err
	}
	return list, l.exceptionList(), nil
}

// LoadStored reads policies and exceptions as a cluster has them stored. Exceptions are valid, and held against no terms: they were when they
// were created, and [Set.WithExceptions] lets those count that still do.
func LoadStored(data []byte, source string) ([]*PodPolicy, []*PolicyException, error) {
	l := &loader{kinds: []string{Kind, ExceptionKind}}
	l.read(data, source)
	list, err := l.result()
	if err != nil {
		return nil, nil, err
	}
	return list, l.exceptionList(), nil
}

// files reads files and folders.
func (l *loader) files(paths []string) {
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
}

// loader gathers policies, exceptions and problems over all documents of all files.
type loader struct {
	kinds      []string
	policies   []*PodPolicy
	exceptions []loadedException
	named      map[string]Problem // by kind, namespace and name, the place where it was first
	unread     bool               // a document could not be read, which may be of any kind and name
	problems   Problems
}

// loadedException keeps the lines of an exception for when all policies are read.
type loadedException struct {
	exception *PolicyException
	doc       *document
}

func (l *loader) result() ([]*PodPolicy, error) {
	if err := l.problems.Err(); err != nil {
		return nil, err
	}
	return l.policies, nil
}

func (l *loader) exceptionList() []*PolicyException {
	exceptions := make([]*PolicyException, len(l.exceptions))
	for i, e := range l.exceptions {
		exceptions[i] = e.exception
	}
	return exceptions
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
		doc := &document{source: source, number: i + 1, offset: part.line, kinds: l.kinds}
		object := doc.decode(part.text)
		empty = empty && object == nil && len(doc.problems) == 0
		l.unread = l.unread || object == nil && len(doc.problems) > 0
		l.add(object, doc)
		doc.problems.sortByLine()
		l.problems = append(l.problems, doc.problems...)
	}
	if empty {
		l.refuse(source, fmt.Errorf("holds no policy; want documents with apiVersion %s and kind %s", GroupVersion(), either(l.kinds)))
	}
}

// add validates what a document holds, if anything.
func (l *loader) add(object metav1.Object, doc *document) {
	switch o := object.(type) {
	case *PodPolicy:
		Default(o)
		doc.refuseAll(Validate(o))
		l.name("policy", o, doc)
		l.policies = append(l.policies, o)
	case *PolicyException:
		doc.refuseAll(ValidateException(o))
		l.name("exception", o, doc)
		l.exceptions = append(l.exceptions, loadedException{o, doc})
	}
}

// refuseAll puts each problem on its line. A problem that follows from one of reading is left out: under a misspelt section "no rule is switched
// on" is true and of no help.
func (d *document) refuseAll(problems Problems) {
	reading := d.problems
	for _, problem := range problems {
		within := func(r Problem) bool { return r.Field == problem.Field || strings.HasPrefix(r.Field, problem.Field+".") }
		if !slices.ContainsFunc(reading, within) {
			d.refuse(problem.Field, problem.Message)
		}
	}
}

// name refuses a name that another object of the kind has.
func (l *loader) name(kind string, object metav1.Object, doc *document) {
	if object.GetName() == "" {
		return
	}
	key := kind + " " + object.GetNamespace() + "/" + object.GetName()
	if first, taken := l.named[key]; taken {
		doc.refuse("metadata.name", fmt.Sprintf("%s is the name of another %s too (%s, document %d)", quote(object.GetName()), kind, first.Source, first.Document))
	}
	if l.named == nil {
		l.named = map[string]Problem{}
	}
	l.named[key] = Problem{Source: doc.source, Document: doc.number}
}

// checkTerms holds the exceptions against the policies of all files, whatever else is wrong with these. While a document is not readable it may
// be the policy that is missing.
func (l *loader) checkTerms(terms ExceptionTerms) {
	for _, p := range l.policies {
		c, _ := compile(p)
		terms.Policies = append(terms.Policies[:len(terms.Policies):len(terms.Policies)], c)
	}
	for _, e := range l.exceptions {
		before := len(e.doc.problems)
		e.doc.refuseAll(slices.DeleteFunc(terms.Check(e.exception), func(p Problem) bool {
			return l.unread && strings.HasPrefix(p.Field, "spec.policies")
		}))
		found := e.doc.problems[before:]
		found.sortByLine()
		l.problems = append(l.problems, found...)
	}
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
		return []part{{text: yamlOfJSON(text)}}
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
