// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.spec.VtdVirtualCommand;

/**
 * PASIDs from a hypervisor: the custom allocator of a guest's VT-d driver, by the virtual command
 * registers. All units of a guest have the same functions and so are one allocator. Under the
 * allocator's lock.
 */
public final class VcmdAllocator implements IoasidBackend<VcmdRegisters> {
    /** Reads of the response register before a command that does not end is given up. */
    public static final int POLL_LIMIT = 1 << 16;

    /** PASID 0 stands for requests without one. */
    public static final int FIRST = 1;

    private static final VcmdAllocator FUNCTIONS = new VcmdAllocator();

    private VcmdAllocator() {}

    /**
     * What a unit's driver registers at boot.
     *
     * @throws IommufdException ENODEV: the unit is not a virtual one that hands out PASIDs
     */
    public static IoasidOps<VcmdRegisters> of(VcmdRegisters registers) throws IommufdException {
        require(registers, VtdVirtualCommand.CAP, VtdVirtualCommand.CAP_CACHING_MODE);
        require(registers, VtdVirtualCommand.ECAP, VtdVirtualCommand.ECAP_SCALABLE_MODE);
        require(registers, VtdVirtualCommand.ECAP, VtdVirtualCommand.ECAP_VIRTUAL_COMMANDS);
        require(registers, VtdVirtualCommand.VCCAP, VtdVirtualCommand.VCCAP_PASID);
        return new IoasidOps<>(FUNCTIONS, registers);
    }

    private static void require(VcmdRegisters registers, int offset, long bit)
            throws IommufdException {
        if ((registers.read(offset) & bit) == 0) {
            throw new IommufdException(
                    Errno.ENODEV, "register 0x%x is without 0x%x".formatted(offset, bit));
        }
    }

    /**
     * {@inheritDoc}
     *
     * @throws IommufdException EINVAL: PASID 0 is no id; ENOSPC: the hypervisor has none; ENODEV:
     *     any other failure
     */
    @Override
    public int allocate(int first, int last, VcmdRegisters registers) throws IommufdException {
        if (first < FIRST) {
            throw new IommufdException(Errno.EINVAL, "PASID 0 is for requests without one");
        }
        // The command knows no range: the hypervisor chooses from all 20 bits.
        long response = run(registers, VtdVirtualCommand.COMMAND_ALLOCATE);
        return VtdVirtualCommand.result(response);
    }

    @Override
    public void free(int id, VcmdRegisters registers) throws IommufdException {
        run(registers, VtdVirtualCommand.COMMAND_FREE | VtdVirtualCommand.operand(id));
    }

    /** One command; the response to it, which says that it succeeded. */
    private static long run(VcmdRegisters registers, long command) throws IommufdException {
        if (VtdVirtualCommand.isInProgress(registers.read(VtdVirtualCommand.VCRSP))) {
            throw new IommufdException(Errno.ENODEV, "an earlier command has not ended");
        }
        registers.write(VtdVirtualCommand.VCMD, command);
        for (int polls = 0; polls < POLL_LIMIT; polls++) {
            long response = registers.read(VtdVirtualCommand.VCRSP);
            if (!VtdVirtualCommand.isInProgress(response)) {
                int status = VtdVirtualCommand.status(response);
                if (status == VtdVirtualCommand.STATUS_OK) {
                    return response;
                }
                boolean isFull =
                        status == VtdVirtualCommand.STATUS_NONE_AVAILABLE
                                && command == VtdVirtualCommand.COMMAND_ALLOCATE;
                throw new IommufdException(
                        isFull ? Errno.ENOSPC : Errno.ENODEV,
                        "command 0x%x ended with status %d".formatted(command, status));
            }
        }
        throw new IommufdException(
                Errno.ENODEV, "the command has not ended after %d looks".formatted(POLL_LIMIT));
    }
}
