// SPDX-License-Identifier: Apache-2.0
package org.ioasis.virtio.blk;

import org.jspecify.annotations.Nullable;

/** First in, first out, linked through {@link Request#next}. One thread. */
final class RequestList {
    private @Nullable Request first;
    private @Nullable Request last;

    boolean isEmpty() {
        return first == null;
    }

    void add(Request request) {
        request.next = null;
        if (last == null) {
            first = request;
        } else {
            last.next = request;
        }
        last = request;
    }

    @Nullable Request poll() {
        Request request = first;
        if (request != null) {
            first = request.next;
            request.next = null;
            if (first == null) {
                last = null;
            }
        }
        return request;
    }
}
