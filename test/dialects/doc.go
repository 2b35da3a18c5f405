// Package dialects has what pier writes for other tools read by the code with which these tools read it: that it is taken,
// and means what was meant. It is a module of its own, as that code brings much with it.
package dialects
