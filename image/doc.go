// Package image reads image references and match patterns, and folds the names of Docker Hub.
//
// It is for every room that is handed a reference as people write it. [Parse] keeps the text as written, which is what
// is pulled, beside its canonical form, which is what is compared: host in lower case without the port 443, Docker
// Hub's names as docker.io, one-word Hub repositories under library/. The order matters: the text is read as given, and
// only then is the host canonicalised as a value of its own. Lower-casing first would turn the host MyReg of
// "MyReg/app" into the Hub namespace "myreg", and choose another registry's credential.
//
// What is not known of a reference is unknown, never assumed: a door that is not told the tag says so ([ParseName],
// [New]), and [Reference.TagKnown] tells the two apart.
package image
