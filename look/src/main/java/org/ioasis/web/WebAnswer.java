// SPDX-License-Identifier: Apache-2.0
package org.ioasis.web;

import java.util.function.Consumer;

/** What a client gets. Immutable. */
public sealed interface WebAnswer {
    /**
     * All of it at once.
     *
     * @param status of HTTP
     * @param type of the content, with its character set, which is UTF-8
     */
    record Whole(int status, String type, String content) implements WebAnswer {}

    /**
     * Server-sent events, until either side ends them.
     *
     * @param opened is handed the stream; may not wait
     */
    record Events(Consumer<WebStream> opened) implements WebAnswer {}

    /** Words for a status, as text. */
    static WebAnswer text(int status, String words) {
        return new Whole(status, "text/plain; charset=utf-8", words + "\n");
    }
}
