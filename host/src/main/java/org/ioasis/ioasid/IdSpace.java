// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdException;

/**
 * Where ids come from, and the records of those that are out: ours, or a custom allocator's.
 * Changed under the allocator's lock; its table is read by look-ups on any thread.
 */
abstract class IdSpace {
    final IdTable table = new IdTable();

    /**
     * An id that nobody has.
     *
     * @throws IommufdException nothing has changed
     */
    abstract int take(int first, int last, FailureInjector failures) throws IommufdException;

    /** Takes an id back; false: it is lost. */
    abstract boolean giveBack(int id);

    /** The lowest that is free. */
    static final class Standard extends IdSpace {
        private final IdBitmap ids = new IdBitmap();

        @Override
        int take(int first, int last, FailureInjector failures) throws IommufdException {
            int id = ids.lowest(first, last);
            if (id == IoasidAllocator.INVALID) {
                throw new IommufdException(Errno.ENOSPC, "no id of the range is free");
            }
            ids.take(id);
            return id;
        }

        @Override
        boolean giveBack(int id) {
            ids.giveBack(id);
            return true;
        }
    }
}
