// SPDX-License-Identifier: Apache-2.0
package org.ioasis.sys;

/** Numbers of system calls on x86-64 (asm/unistd_64.h). Any thread. */
public final class LinuxCall {
    public static final int READ = 0;
    public static final int WRITE = 1;
    public static final int OPEN = 2;
    public static final int STAT = 4;
    public static final int FSTAT = 5;
    public static final int LSTAT = 6;
    public static final int MMAP = 9;
    public static final int IOCTL = 16;
    public static final int PREAD64 = 17;
    public static final int PWRITE64 = 18;
    public static final int READV = 19;
    public static final int WRITEV = 20;
    public static final int ACCESS = 21;
    public static final int DUP = 32;
    public static final int FCNTL = 72;
    public static final int READLINK = 89;
    public static final int OPENAT = 257;
    public static final int NEWFSTATAT = 262;
    public static final int READLINKAT = 267;
    public static final int FACCESSAT = 269;
    public static final int STATX = 332;
    public static final int OPENAT2 = 437;
    public static final int FACCESSAT2 = 439;

    private LinuxCall() {}
}
