// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd.mock;

import java.util.HashMap;
import java.util.Map;
import org.ioasis.iommufd.Access;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.OpenFile;
import org.jspecify.annotations.Nullable;

/**
 * The file of an access: what it holds has numbers, and is let go when it is unmapped. It keeps the
 * context open. Under its context's lock.
 */
final class MockAccess implements OpenFile, Access.User {
    private record Held(long iova, long length) {}

    private final IommufdContext context;
    private final Map<Integer, Held> held = new HashMap<>();
    private @Nullable Access access;
    private int next = 1;

    MockAccess(IommufdContext context, boolean holdsPages) throws IommufdException {
        this.context = context;
        access = context.access(this, holdsPages);
    }

    Access access() throws IommufdException {
        if (access == null) {
            throw new IommufdException(Errno.EBADF, "the access is closed");
        }
        return access;
    }

    /** Keeps what {@link Access#pin} has held; its number. */
    int keep(long iova, long length) {
        held.put(next, new Held(iova, length));
        return next++;
    }

    /** Lets go of what has this number. */
    void drop(int number) throws IommufdException {
        Held gone = held.remove(number);
        if (gone == null) {
            throw new IommufdException(Errno.ENOENT, "nothing is held under number " + number);
        }
        access().unpin(gone.iova, gone.length);
    }

    @Override
    public void unmap(long iova, long length) {
        long last = length == -1 ? -1 : iova + length - 1;
        held.values()
                .removeIf(one -> {
                    boolean touches =
                            Long.compareUnsigned(one.iova, last) <= 0
                                    && Long.compareUnsigned(one.iova + one.length - 1, iova) >= 0;
                    if (touches && access != null) {
                        access.unpin(one.iova, one.length);
                    }
                    return touches;
                });
    }

    @Override
    public Form form() {
        return Form.MEMORY;
    }

    @Override
    public String name() {
        return "access";
    }

    @Override
    public void release() {
        synchronized (context) {
            if (access != null) {
                Access gone = access;
                gone.detach();
                access = null;
                gone.close();
            }
        }
    }
}
