package policies

// ReviewPolicy returns what is wrong with a policy as the API server sends it, in the words in which [Load] refuses it in a file.
func ReviewPolicy(data []byte) Problems {
	l := &loader{kinds: []string{Kind}}
	l.read(data, "")
	return l.problems.withoutPlaces()
}

// ReviewException returns what is wrong with an exception as the API server sends it, in the words in which [LoadAll] refuses it in a file.
func ReviewException(data []byte, terms ExceptionTerms) Problems {
	l := &loader{kinds: []string{ExceptionKind}}
	l.read(data, "")
	l.checkTerms(terms)
	return l.problems.withoutPlaces()
}
