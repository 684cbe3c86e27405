// SPDX-License-Identifier: Apache-2.0
package org.ioasis.assigned;

import static org.ioasis.spec.VfioType1.MAP_FLAG_READ;
import static org.ioasis.spec.VfioType1.MAP_FLAG_WRITE;

import org.ioasis.iommufd.Ioas;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.Owner;
import org.ioasis.spec.Iommufd;
import org.ioasis.vfio.Type1;

/** Through what an assigned device reaches memory. Loop thread. */
public interface DmaTarget {
    /** Maps memory of a program; refused, and nothing has changed. */
    void map(
            Owner owner,
            long address,
            long iova,
            long length,
            boolean isReadable,
            boolean isWritable)
            throws IommufdException;

    /** Unmaps exactly what one {@link #map} has mapped: the device reaches it no more. */
    void unmap(long iova, long length) throws IommufdException;

    /** An address space of iommufd. */
    static DmaTarget of(Ioas ioas) {
        return new DmaTarget() {
            @Override
            public void map(
                    Owner owner,
                    long address,
                    long iova,
                    long length,
                    boolean isReadable,
                    boolean isWritable)
                    throws IommufdException {
                int rights =
                        (isReadable ? Iommufd.MAP_READABLE : 0)
                                | (isWritable ? Iommufd.MAP_WRITEABLE : 0);
                ioas.map(owner, address, length, rights | Iommufd.MAP_FIXED_IOVA, iova);
            }

            @Override
            public void unmap(long iova, long length) throws IommufdException {
                ioas.unmap(iova, length);
            }
        };
    }

    /** A container of VFIO. */
    static DmaTarget of(Type1 container) {
        return new DmaTarget() {
            @Override
            public void map(
                    Owner owner,
                    long address,
                    long iova,
                    long length,
                    boolean isReadable,
                    boolean isWritable)
                    throws IommufdException {
                int rights = (isReadable ? MAP_FLAG_READ : 0) | (isWritable ? MAP_FLAG_WRITE : 0);
                container.map(owner, address, iova, length, rights);
            }

            @Override
            public void unmap(long iova, long length) throws IommufdException {
                container.unmap(iova, length, null);
            }
        };
    }
}
