// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiodevice;

import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.vfio.VfioContainer;

/**
 * An open {@code /dev/vfio/vfio}: a container, kept until its descriptors are closed and its groups
 * have left it, in whatever order a program ends. Loop thread.
 */
public final class ContainerFile implements OpenFile {
    private final VfioContainer container;
    private boolean isClosed;
    private boolean isReleased;

    /** Takes over a container without groups. */
    public ContainerFile(VfioContainer container) {
        this.container = container;
    }

    VfioContainer container() {
        return container;
    }

    /** A group has left it. */
    void groupLeft() {
        releaseIfUnused();
    }

    @Override
    public Form form() {
        return container.form();
    }

    @Override
    public String name() {
        return container.name();
    }

    @Override
    public long ioctl(Caller caller, int command, long argument) {
        return container.ioctl(caller, command, argument);
    }

    @Override
    public void release() {
        isClosed = true;
        releaseIfUnused();
    }

    private void releaseIfUnused() {
        if (isClosed && !isReleased && container.groups() == 0) {
            isReleased = true;
            container.release();
        }
    }
}
