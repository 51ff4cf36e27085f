module kubemirror.test/streams

go 1.26
