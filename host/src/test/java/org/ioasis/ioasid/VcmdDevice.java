// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import org.ioasis.iommufd.IommufdException;
import org.ioasis.spec.VtdVirtualCommand;

/**
 * The virtual command registers of a VT-d unit as a hypervisor shows them: each command takes a few
 * looks, and PASIDs come from the hypervisor's own allocator. One call at a time.
 */
final class VcmdDevice implements VcmdRegisters {
    /** Where the hypervisor has its PASIDs from. */
    interface Host {
        /** A PASID, or INVALID. */
        int allocate() throws IommufdException;

        /** False: the guest has no such PASID. */
        boolean free(int pasid);
    }

    private final Host host;
    long cap = VtdVirtualCommand.CAP_CACHING_MODE;
    long ecap = VtdVirtualCommand.ECAP_SCALABLE_MODE | VtdVirtualCommand.ECAP_VIRTUAL_COMMANDS;
    long vccap = VtdVirtualCommand.VCCAP_PASID;

    /** Looks at the response that find the command in progress. */
    int looks = 3;

    /** The status of the next command, instead of its own. */
    int broken = VtdVirtualCommand.STATUS_OK;

    int commands;
    private int left;
    private long response;

    VcmdDevice(Host host) {
        this.host = host;
    }

    @Override
    public long read(int offset) {
        return switch (offset) {
            case VtdVirtualCommand.CAP -> cap;
            case VtdVirtualCommand.ECAP -> ecap;
            case VtdVirtualCommand.VCCAP -> vccap;
            case VtdVirtualCommand.VCRSP -> left > 0 && left-- > 0 ? 1 : response;
            default -> throw new AssertionError("a read at " + offset);
        };
    }

    @Override
    public void write(int offset, long value) {
        if (offset != VtdVirtualCommand.VCMD || left > 0) {
            throw new AssertionError("a write at " + offset);
        }
        commands++;
        left = looks;
        response = run(value);
    }

    private long run(long value) {
        if (broken != VtdVirtualCommand.STATUS_OK) {
            int status = broken;
            broken = VtdVirtualCommand.STATUS_OK;
            return VtdVirtualCommand.response(status, 0);
        }
        int operand = (int) (value >>> 16);
        return switch ((int) value & 0xff) {
            case (int) VtdVirtualCommand.COMMAND_ALLOCATE -> {
                int pasid = IoasidAllocator.INVALID;
                try {
                    pasid = host.allocate();
                } catch (IommufdException e) {
                    assert e.errno().number() != 0;
                }
                yield pasid == IoasidAllocator.INVALID
                        ? VtdVirtualCommand.response(VtdVirtualCommand.STATUS_NONE_AVAILABLE, 0)
                        : VtdVirtualCommand.response(VtdVirtualCommand.STATUS_OK, pasid);
            }
            case (int) VtdVirtualCommand.COMMAND_FREE ->
                    VtdVirtualCommand.response(
                            host.free(operand)
                                    ? VtdVirtualCommand.STATUS_OK
                                    : VtdVirtualCommand.STATUS_INVALID_PASID,
                            0);
            default -> VtdVirtualCommand.response(1, 0);
        };
    }
}
