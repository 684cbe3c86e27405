// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import org.ioasis.iommufd.IommufdException;

/**
 * A custom allocator as it is registered: functions, and what they are called with. Two with the
 * same functions are one allocator, which can be reached in two ways. Compared by identity. Under
 * the allocator's lock.
 *
 * @param <P> what the functions are called with
 */
public final class IoasidOps<P> {
    private final IoasidBackend<P> functions;
    private final P data;

    public IoasidOps(IoasidBackend<P> functions, P data) {
        this.functions = functions;
        this.data = data;
    }

    boolean hasFunctionsOf(IoasidOps<?> other) {
        return functions.equals(other.functions);
    }

    int allocate(int first, int last) throws IommufdException {
        return functions.allocate(first, last, data);
    }

    void free(int id) throws IommufdException {
        functions.free(id, data);
    }
}
