package text

import (
	"math/bits"
	"strings"
	"unicode"
)

// shingle is the number of neighbouring words that are hashed together: enough that word order
// counts, few enough that one changed word touches only three of them.
const shingle = 3

// NearDuplicate is the largest Hamming distance at which two simhashes mean the same text. Manku,
// Jain and Das Sarma found 3 of 64 bits right for eight billion web pages (WWW 2007).
const NearDuplicate = 3

// Simhash returns Charikar's 64-bit fingerprint of a text over its word 3-shingles, without regard
// to case and punctuation. Texts that differ a little have fingerprints that differ in few bits. A
// text without words has fingerprint 0.
func Simhash(text string) uint64 {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r)
	})
	var ones [64]int
	votes := 0
	for i := range words {
		if i > 0 && i+shingle > len(words) {
			break // only a text shorter than a shingle is hashed as a short one
		}
		h := hashWords(words[i:min(i+shingle, len(words))])
		for bit := range ones {
			ones[bit] += int(h >> bit & 1) // without a branch that nothing could predict
		}
		votes++
	}
	var sum uint64
	for bit, n := range ones {
		if 2*n > votes {
			sum |= 1 << bit
		}
	}
	return sum
}

// hashWords is FNV-1a with a finaliser: FNV alone leaves the high bits of short input alike, and
// every bit of a fingerprint has to be an independent vote.
func hashWords(words []string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	x := uint64(offset)
	for _, w := range words {
		for i := range len(w) {
			x = (x ^ uint64(w[i])) * prime
		}
		x *= prime // a zero byte after each word
	}
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd // the 64-bit finaliser of MurmurHash3
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// Hamming returns the number of bits in which two fingerprints differ, from 0 to 64.
func Hamming(a, b uint64) int { return bits.OnesCount64(a ^ b) }
