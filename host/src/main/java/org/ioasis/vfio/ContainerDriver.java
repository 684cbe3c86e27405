// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfio;

import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.IommufdContext;
import org.ioasis.iommufd.IommufdException;

/**
 * What a container does with its groups once it knows which IOMMU is wanted. Any thread; each call
 * takes its own lock.
 */
public interface ContainerDriver {
    /** One that a container can be given. */
    interface Kind {
        /** What it answers to CHECK_EXTENSION before there is one. */
        long extension(int number);

        /** Whether SET_IOMMU with this number makes one. */
        boolean is(int number);

        /** Makes one. */
        ContainerDriver open(int number) throws IommufdException;
    }

    /** What it answers to CHECK_EXTENSION. */
    long extension(int number);

    /** One more group; refused, and nothing has changed. */
    void attach(VfioGroup group) throws IommufdException;

    /** A group goes. */
    void detach(VfioGroup group);

    /** A call that is not the container's. */
    long ioctl(Caller caller, int command, long argument) throws IommufdException;

    /** Does something with the points of failure of a program. */
    long calling(Caller caller, IommufdContext.Body body) throws IommufdException;

    /** Its last group is gone. */
    void close();
}
