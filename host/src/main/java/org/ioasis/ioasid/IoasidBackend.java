// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import org.ioasis.iommufd.IommufdException;

/**
 * The two functions of a custom allocator, which hands ids out in the place of ours: a virtual
 * machine's come from its hypervisor, for instance. Called under the allocator's lock, one call at
 * a time; look-ups go on meanwhile.
 *
 * @param <P> what the functions are called with, a device's registers for instance
 */
public interface IoasidBackend<P> {
    /**
     * Hands an id out.
     *
     * @param first lowest id that is wanted
     * @param last highest id that is wanted, at most {@link IoasidAllocator#LAST}
     * @return the id, or {@link IoasidAllocator#INVALID}; one outside of the range is given back
     */
    int allocate(int first, int last, P data) throws IommufdException;

    /**
     * Takes an id back; nobody can find it any more.
     *
     * @throws IommufdException it is lost, and counted
     */
    void free(int id, P data) throws IommufdException;
}
