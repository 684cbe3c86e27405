// SPDX-License-Identifier: Apache-2.0
package org.ioasis.spapr;

import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.PageRun;
import org.ioasis.iommufd.ProgramMemory;

/**
 * Memory that is held page by page, by each entry that leads to it. What it is charged for is the
 * whole window, before. Under the lock of its table.
 */
final class HeldBacking implements Backing {
    private static final int PAGE_LG2 = 12;

    private final IommufdNode node;
    private final ProgramMemory process;

    HeldBacking(IommufdNode node, ProgramMemory process) {
        this.node = node;
        this.process = process;
    }

    @Override
    public long take(long user, int pageLg2, boolean isWritable, FailureInjector failures) {
        PageRun run = failures.fails() ? null : process.pages(user, 1L << PAGE_LG2, isWritable);
        if (run == null) {
            return -Errno.EFAULT.number();
        }
        if (pageLg2 > PAGE_LG2) {
            // What is held is a page of the processor's; a larger one would reach beyond it.
            return -Errno.EPERM.number();
        }
        long address = node.hold(run.source(), run.offset(), 1);
        return address < 0 ? -Errno.ENOMEM.number() : address;
    }

    @Override
    public boolean isRegistered(long user, int pageLg2) {
        return false;
    }

    @Override
    public void untake(long user, long address) {
        node.giveBack(address, 1);
    }

    @Override
    public boolean reserve(long entry) {
        return true;
    }

    @Override
    public void note(long entry, long user) {
        // The page's address is in the entry, which is enough to give it back.
    }

    @Override
    public void drop(long entry, long address) {
        node.giveBack(address, 1);
    }

    @Override
    public void free() {
        // Nothing is kept beside the table.
    }
}
