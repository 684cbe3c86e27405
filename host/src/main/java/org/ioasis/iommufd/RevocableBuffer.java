// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.util.ArrayList;
import java.util.List;

/**
 * Memory of a device that programs map through a file (a dma-buf): its owner can take it away, and
 * then no page table shows it any more, and give it back. It is nobody's locked memory. Under the
 * lock of the context that it belongs to.
 */
public final class RevocableBuffer {
    private final PageSource source;
    private final long size;
    private final List<Pages> users = new ArrayList<>();
    private boolean isRevoked;

    public RevocableBuffer(PageSource source, long size) {
        this.source = source;
        this.size = size;
    }

    PageSource source() {
        return source;
    }

    long size() {
        return size;
    }

    public boolean isRevoked() {
        return isRevoked;
    }

    /** Mappings that show it, copies not counted. */
    int mappings() {
        return users.size();
    }

    void add(Pages pages) {
        users.add(pages);
    }

    void remove(Pages pages) {
        users.remove(pages);
    }

    /** Takes it out of every page table, or puts it back nowhere: what was mapped stays empty. */
    public void revoke(boolean revoked) {
        if (revoked && !isRevoked) {
            for (Pages pages : users) {
                pages.revoke();
            }
        }
        isRevoked = revoked;
    }
}
