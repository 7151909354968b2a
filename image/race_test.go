//go:build race

package image

const raceDetector = true // it multiplies memory
